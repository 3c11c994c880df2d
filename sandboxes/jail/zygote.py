"""The zygote: an interpreter with its modules imported, which forks a box whenever it is asked to.

    python -I -B /jail/zygote.py CONTROL_FD [MODULE]…

It runs nothing of a model's itself. A box is a fork in namespaces of its own, made beforehand; it
talks to the host over a socket that comes with the request for it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import resource
import signal
import socket

from agentgym.sandboxes.jail import kernel, network
from agentgym.sandboxes.jail.keeper import Keeper

SPARE, NEW = b" spare", b" new"
"""Behind a box's number: whether it was there before it was asked for."""

# And one of processes, which the keeper makes for all but itself.
NAMESPACES = (
    kernel.NEWUSER | kernel.NEWNS | kernel.NEWNET | kernel.NEWIPC | kernel.NEWUTS | kernel.NEWCGROUP
)


def main(control_fd: int, modules: list[str]) -> None:
    """Serve requests on the control socket until the host hangs up."""
    control = socket.socket(fileno=control_fd)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Of the user's descriptors under way, which programs add to, no more than this may be there for
    # us to send another.
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    seccomp = control.recv(1 << 16)
    missing: list[str] = []
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(module)
    # The collector would touch every object, and a fork copies each page that is touched.
    gc.collect()
    gc.freeze()
    control.send(("missing " + " ".join(missing)).encode() if missing else b"ready")
    # Nobody reads what is said from here on, and a full pipe would stop whoever says it.
    nowhere = os.open("/dev/null", os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    # Boxes that have ended are reaped by the kernel.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    boxes = _Boxes(control, seccomp)
    while True:
        request, fds, _, _ = socket.recv_fds(control, 64, 2)
        if not request:
            return
        words = request.split()
        if words[0] == b"spare":
            try:
                boxes.make_spare(*fds, tells=True)
            except OSError as fault:
                control.send(str(fault).encode())
        elif words[0] == b"box":
            try:
                answer = boxes.hand_out(request, *fds)
            except OSError as fault:
                answer = str(fault).encode()
            control.send(answer)
            os.close(fds.pop(0))  # or the one to spare would keep it open
            # A new one is in the cgroup that came with the request for it.
            if answer.endswith(SPARE) or not fds:
                with contextlib.suppress(OSError):
                    boxes.make_spare(*fds)
        elif words[0] == b"kill":
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(words[1]), signal.SIGKILL)
            control.send(b"killed")
        else:
            control.send(b"pong")
        for fd in fds:
            os.close(fd)


class _Boxes:
    """Forks boxes, and has one to spare: most of what a box takes is done before it is asked for.

    Args:
        control: What a fork has to close.
        seccomp: The filter of system calls for programs.
    """

    def __init__(self, control: socket.socket, seccomp: bytes) -> None:
        self._control = control
        self._seccomp = seccomp
        self._ids = os.getuid(), os.getgid()
        self._spare: tuple[int, socket.socket] | None = None

    def make_spare(self, cgroup: int | None = None, *, tells: bool = False) -> None:
        """Have a box to spare.

        Args:
            cgroup: The entrance of its cgroup, if there is one.
            tells: Whether the host is told how it went: "ready", or why there is none.

        Raises:
            OSError: If there can't be one.
        """
        self._spare = self._fork(cgroup, tells=tells)

    def hand_out(self, request: bytes, connection: int, cgroup: int | None = None) -> bytes:
        """Give a box to whoever has the other end of a connection.

        Args:
            request: "box", and "network" where its loopback is to be answered from outside.
            connection: Our end of it.
            cgroup: The entrance of the cgroup for a new one.

        Returns:
            Its number, and `SPARE` or `NEW`.

        Raises:
            OSError: If there can't be one.
        """
        spare, self._spare = self._spare, None
        if spare is not None:
            with contextlib.suppress(OSError):  # it has died
                return self._give(spare, connection, request) + SPARE
        return self._give(self._fork(cgroup), connection, request) + NEW

    def _give(self, box: tuple[int, socket.socket], connection: int, request: bytes) -> bytes:
        pid, ours = box
        with ours:
            socket.send_fds(ours, [request], [connection])
        return b"%d" % pid

    def _fork(self, cgroup: int | None, *, tells: bool = False) -> tuple[int, socket.socket]:
        ours, theirs = socket.socketpair()
        try:
            pid = kernel.clone(NAMESPACES)
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            ours.close()
            try:
                keeper = Keeper(self._seccomp)
                keeper.prepare(*self._ids, cgroup)
                if cgroup is not None:
                    os.close(cgroup)
                if tells and keeper.fault is not None:
                    theirs.close()  # before the host can ask for it
                if tells:
                    self._control.send(str(keeper.fault or "ready").encode())
                self._control.close()
                request, fds, _, _ = socket.recv_fds(theirs, 64, 1)
                theirs.close()
                if fds:
                    connection = socket.socket(fileno=fds[0])
                    if request == b"box network":
                        network.hand_over(connection)
                    keeper.serve(connection)
            finally:
                os._exit(0)
        theirs.close()
        return pid, ours
