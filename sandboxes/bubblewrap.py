"""`Bubblewrap`: boxes on the machine itself, without a daemon.

What each part adds:

| part | keeps a program from |
|---|---|
| an unprivileged user, before there are namespaces | being root to the host's kernel |
| user namespace per box | holding any right outside; counting its processes with others' |
| mount namespace, read-only root, tmpfs of fixed size | others' files; filling the disk |
| terminals of its own | reading and writing those of other boxes; taking all of the machine's |
| PID namespace | seeing or signalling anybody else's process, its keeper's too; outliving the box |
| network namespace | every network, the host's loopback and abstract sockets too |
| IPC, UTS and cgroup namespaces | shared memory of others, the host's name, its cgroups |
| no capabilities, no new privileges | mounting, tracing, setuid |
| seccomp | kernel code that a program in a box has no use for; memory that no limit counts |
| rlimits | memory and CPU time of a process, number of processes, size of a file |

The way to hosts that the spec lists is a proxy on our side of it (`proxy.py`).

What it does not do: `memory_mb` and `cpu_seconds` are of one process, so a box may use as much as
its processes together; the kernel is shared, so a hole in it is a hole in the box.
"""

import os
import socket
import weakref
from contextlib import suppress

from agentgym.sandbox import SandboxSpec
from agentgym.sandboxes.jail import wire
from agentgym.sandboxes.kept import MIB, Kept
from agentgym.sandboxes.proxy import Proxy, received, variables
from agentgym.sandboxes.zygotes import Fork, Recipe, zygote


class Bubblewrap(Kept):
    """A box of bubblewrap's.

    Args:
        spec: What it may use; `image` is the folder of a root file system.
        python: The interpreter, as the box sees it; the code can use its packages.

    Raises:
        InfraError: If it can't be started.
    """

    options = ("python",)
    isolation = "bubblewrap"

    def __init__(self, spec: SandboxSpec, *, python: str = "/usr/bin/python3") -> None:
        super().__init__(spec)
        image = None if spec.image is None else os.path.abspath(spec.image)
        networked = bool(spec.network)
        recipe = Recipe(image, python, spec.modules)
        self._fork: Fork | None = zygote(recipe).fork(network=networked)
        self._proxy = self._serve_network(self._fork) if networked else None
        told = variables(spec.network) if networked else None
        self._open(told, disk_bytes=spec.disk_mb * MIB, inodes=1024 + 64 * spec.disk_mb)

    def _serve_network(self, fork: Fork) -> Proxy:
        try:
            proxy = Proxy(received(fork.connection), self.spec.network)
        except BaseException:
            fork.connection.close()
            raise
        weakref.finalize(self, proxy.close)  # for a box that nobody closes
        return proxy

    @property
    def _connection(self) -> wire.Connection | None:
        return None if self._fork is None else self._fork.connection

    def _give_up(self) -> None:
        fork = self._fork
        self.close()
        if fork is not None:
            fork.zygote.kill(fork)

    def close(self) -> None:
        """End the box; see `Sandbox.close`."""
        self._closed = True
        fork = self._fork
        if fork is None or self._owner != os.getpid():
            return
        # Its keeper leaves at once, and all else ends with the keeper. Whoever waits for an answer
        # stops waiting, before the descriptor's number can become another's.
        if self._proxy is not None:
            self._proxy.close()
        with suppress(OSError):
            fork.connection.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._fork = None
            fork.connection.close()
