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
import signal
import socket

from agentgym.sandboxes.jail import kernel, network
from agentgym.sandboxes.jail.keeper import Keeper

# And one of processes, which the keeper makes for all but itself.
NAMESPACES = (
    kernel.NEWUSER | kernel.NEWNS | kernel.NEWNET | kernel.NEWIPC | kernel.NEWUTS | kernel.NEWCGROUP
)


def main(control_fd: int, modules: list[str]) -> None:
    """Serve requests on the control socket until the host hangs up."""
    control = socket.socket(fileno=control_fd)
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
    boxes.make_spare()
    while True:
        request, fds, _, _ = socket.recv_fds(control, 64, 1)
        if not request:
            return
        words = request.split()
        if words[0] == b"box":
            try:
                control.send(b"%d" % boxes.hand_out(fds[0], request))
            except OSError as fault:
                control.send(str(fault).encode())
            os.close(fds[0])
            boxes.make_spare()
        elif words[0] == b"kill":
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(words[1]), signal.SIGKILL)
            control.send(b"killed")
        else:
            control.send(b"pong")


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

    def make_spare(self) -> None:
        """Have a box to spare, if there can be one."""
        with contextlib.suppress(OSError):
            self._spare = self._spare or self._fork()

    def hand_out(self, connection: int, request: bytes) -> int:
        """Give a box to whoever has the other end of a connection, and return its number.

        Args:
            connection: Its descriptor.
            request: "box", and "network" where its loopback is to be answered from outside.

        Raises:
            OSError: If there can't be one.
        """
        spare, self._spare = self._spare, None
        if spare is not None:
            with contextlib.suppress(OSError):  # it has died
                return self._give(spare, connection, request)
        return self._give(self._fork(), connection, request)

    def _give(self, box: tuple[int, socket.socket], connection: int, request: bytes) -> int:
        pid, ours = box
        with ours:
            socket.send_fds(ours, [request], [connection])
        return pid

    def _fork(self) -> tuple[int, socket.socket]:
        ours, theirs = socket.socketpair()
        try:
            pid = kernel.clone(NAMESPACES)
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            ours.close()
            try:
                keeper = Keeper(self._seccomp)
                keeper.prepare(*self._ids)
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
