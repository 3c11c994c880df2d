"""The fork server: a small process with agentgym loaded, whose copies are the worker processes.

Starting Python and importing everything takes half a second of CPU; a fork takes milliseconds and
shares memory. The server is a process of its own, started afresh and single-threaded, so that no
lock or thread of the program is copied, and the program's main module is never run again (scripts
need no `if __name__ == "__main__"`). It runs none of the environment's code itself.

`main` is what the server process runs, `ForkServer` is the way to it. A message with a socket
attached asks for a fork that serves this socket and is answered with its process id; a process id
asks for that process's exit code. Nothing is reaped before that, so a process id stays valid.
"""

import array
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

_ANSWER_SECONDS = 60.0
_GRACE_SECONDS = 5.0


class ForkServer:
    """The way to the fork server, which is started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def fork(self, connection: socket.socket) -> int:
        """Return the id of a new process that serves the connection.

        Raises:
            OSError: If the server can't be started or doesn't answer.
        """
        with self._lock:
            # A program that forked itself shares no server with its parent.
            if self._control is None or self._owner != os.getpid():
                self._start()
            try:
                return int(self._ask(b"fork", connection))
            except OSError:
                self._start()
                return int(self._ask(b"fork", connection))

    def exit_code(self, pid: int) -> int | None:
        """Return how a process ended (minus the signal's number, if one ended it).

        None if it is running still, or if the server that started it is gone.
        """
        with self._lock:
            try:
                answer = self._ask(b"%d" % pid)
            except OSError:
                return None
        return int(answer) if answer else None

    def _start(self) -> None:
        if self._control is not None:
            self._control.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_ANSWER_SECONDS)
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; from agentgym.workers._zygote import main;"
            f" main({theirs.fileno()})"
        )
        # A worker is one of many: unless told otherwise, its numerics stay on one core.
        settings = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env=settings,
            start_new_session=True,
        )
        theirs.close()
        self._control, self._owner = ours, os.getpid()

    def _ask(self, message: bytes, connection: socket.socket | None = None) -> bytes:
        control = self._control
        if control is None or self._owner != os.getpid():
            raise OSError("there is no fork server")
        fds = [] if connection is None else [connection.fileno()]
        socket.send_fds(control, [message], fds)
        answer = control.recv(64)
        if not answer:
            raise OSError("the fork server is gone")
        return b"" if answer == b"none" else answer


def main(fd: int) -> None:
    """Serve forks until the program that started this server is gone."""
    import agentgym.workers._child as child

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=fd)
    pids: set[int] = set()
    while True:
        message, fds = _receive(control)
        if not message:
            break
        if fds:
            pid = os.fork()
            if pid == 0:
                control.close()
                child.run(socket.socket(fileno=fds[0]))
            os.close(fds[0])
            pids.add(pid)
            control.send(b"%d" % pid)
        else:
            code = _exit_code(int(message), seconds=1.0)
            if code is not None:
                pids.discard(int(message))
            control.send(b"none" if code is None else b"%d" % code)
    # The workers see their own connections end and leave by themselves, unless they hang.
    until = time.monotonic() + _GRACE_SECONDS
    for pid in pids:
        if _exit_code(pid, seconds=until - time.monotonic()) is None:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    fds = array.array("i")
    size = socket.CMSG_SPACE(fds.itemsize)
    message, ancillary, _, _ = control.recvmsg(64, size)
    for _, _, data in ancillary:
        fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return message, list(fds)


def _exit_code(pid: int, seconds: float) -> int | None:
    until = time.monotonic() + seconds
    while True:
        try:
            done, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return None
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            return None
        time.sleep(0.002)
