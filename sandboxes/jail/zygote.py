"""The zygote: an interpreter with its modules imported, which forks a box whenever it is asked to.

    python -I -B /jail/zygote.py CONTROL_FD [MODULE]…

It runs nothing of a model's itself. A box is a fork in namespaces of its own; it talks to the host
over a socket that comes with the request for it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket

from agentgym.sandboxes.jail import kernel
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
    uid, gid = os.getuid(), os.getgid()
    while True:
        request, fds, _, _ = socket.recv_fds(control, 64, 1)
        if not request:
            return
        words = request.split()
        if words[0] == b"box":
            try:
                pid = kernel.clone(NAMESPACES)
            except OSError as fault:
                os.close(fds[0])
                control.send(str(fault).encode())
                continue
            if pid == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                control.close()
                try:
                    Keeper(socket.socket(fileno=fds[0]), seccomp).serve(uid, gid)
                finally:
                    os._exit(0)
            os.close(fds[0])
            control.send(b"%d" % pid)
        elif words[0] == b"kill":
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(words[1]), signal.SIGKILL)
            control.send(b"killed")
        else:
            control.send(b"pong")
