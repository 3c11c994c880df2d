"""`Meeting`: where a container's keeper gives this process the socket of its loopback.

A box of bubblewrap's sends it over the connection that it has anyway. A container's passes through
the engine, where no descriptor can, so the keeper finds a Unix socket of ours in a folder that is
bound into the container. Both are gone from the disk before a program runs: what is left of them in
the container is an empty folder that nobody can write to.
"""

import os
import shutil
import socket
import tempfile
from typing import Self

from agentgym.errors import InfraError
from agentgym.sandboxes.jail.network import MEETING_SOCKET
from agentgym.sandboxes.proxy import received

_ACCEPT_SECONDS = 10.0


class Meeting:
    """A folder with a socket in it; both end with the block.

    Raises:
        InfraError: If there can be none.
    """

    def __init__(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        try:
            # The outer folder keeps this machine's other users out. The inner one begins the
            # container's view: its root may be another user here, in a namespace of its own.
            self._outer = tempfile.mkdtemp(prefix="agentgym-")
        except OSError as fault:
            self._listener.close()
            raise _failed(fault) from fault
        self.folder = os.path.join(self._outer, "meeting")
        try:
            os.mkdir(self.folder)
            os.chmod(self.folder, 0o755)
            self._listen()
            self._listener.settimeout(_ACCEPT_SECONDS)
        except OSError as fault:
            self.close()
            raise _failed(fault) from fault

    def _listen(self) -> None:
        # The path of a socket has to be short, which that of a temporary folder need not be.
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            short = f"/proc/self/fd/{folder}/{MEETING_SOCKET}"
            self._listener.bind(short)
            os.chmod(short, 0o666)
            self._listener.listen(1)
        finally:
            os.close(folder)

    def loopback(self) -> socket.socket:
        """Return the socket that the keeper has brought.

        Raises:
            InfraError: If it has brought none.
        """
        try:
            connection, _ = self._listener.accept()
        except OSError as fault:
            raise InfraError(f"The sandbox's keeper did not come to the host: {fault}") from fault
        with connection:
            return received(connection)

    def close(self) -> None:
        """Remove the folder and the socket."""
        self._listener.close()
        shutil.rmtree(self._outer, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _failed(fault: OSError) -> InfraError:
    return InfraError(
        f"There can be no socket to meet the sandbox's container at: {fault}; name a folder for it "
        "in TMPDIR"
    )
