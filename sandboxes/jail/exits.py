"""How a launcher lets its keeper know that a program has exited.

By the kernel's descriptor of the process. gVisor has no such descriptors; there it is the end of a
pipe, whose other end the launcher closes when it hears that the program has exited.
"""

from __future__ import annotations

import os
import signal


class Exits:
    """Makes what can be read once a child of this process has exited.

    Attributes:
        signals: Whether `pidfd_send_signal` takes it, too.
    """

    def __init__(self) -> None:
        self._open: dict[int, int] = {}
        self.signals = _has_descriptors()
        if not self.signals:
            signal.signal(signal.SIGCHLD, self._tell)

    def of(self, pid: int) -> int:
        """Return the descriptor of a child, which the caller closes.

        Raises:
            OSError: If there can't be another descriptor.
        """
        if self.signals:
            return os.pidfd_open(pid)
        read, self._open[pid] = os.pipe()
        self._tell()  # it may have exited before it was known here
        return read

    def end(self) -> None:
        """Be a fork that has children of its own."""
        if not self.signals:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def _tell(self, *_: object) -> None:
        """Close the pipes of those that have exited."""
        for pid in list(self._open):
            try:
                gone = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
            except ChildProcessError:
                gone = True  # somebody has waited for it
            # Another signal may have come meanwhile, and have been heard here.
            fd = self._open.pop(pid, None) if gone else None
            if fd is not None:
                os.close(fd)


def _has_descriptors() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True
