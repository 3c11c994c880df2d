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

from agentgym.sandbox import SandboxSpec
from agentgym.sandboxes.kept import KEPT, MIB, Kept
from agentgym.sandboxes.proxy import Proxy, received, variables
from agentgym.sandboxes.zygotes import Recipe, zygote


class Bubblewrap(Kept):
    """A box of bubblewrap's.

    Args:
        spec: What it may use; `image` is the folder of a root file system.
        python: The interpreter, as the box sees it; the code can use its packages.
        keep: How many closed boxes like it are emptied and kept for the next ones.

    Raises:
        InfraError: If it can't be started.
    """

    options = ("python", "keep")
    isolation = "bubblewrap"

    def __init__(
        self, spec: SandboxSpec, *, python: str = "/usr/bin/python3", keep: int = KEPT
    ) -> None:
        super().__init__(spec, keep)
        image = None if spec.image is None else os.path.abspath(spec.image)
        networked = bool(spec.network)
        self._fork = zygote(Recipe(image, python, spec.modules)).box(network=networked)
        self._proxy = self._serve_network() if networked else None
        told = variables(spec.network) if networked else None
        self._open(told, disk_bytes=spec.disk_mb * MIB, inodes=1024 + 64 * spec.disk_mb)

    def _serve_network(self) -> Proxy:
        try:
            proxy = Proxy(received(self._connection), self.spec.network)
        except BaseException:
            self._fork.end()
            raise
        weakref.finalize(self, proxy.close)  # for a box that nobody closes
        return proxy

    def _end_network(self) -> None:
        if self._proxy is not None:
            self._proxy.close()

    @property
    def _connection(self) -> socket.socket:
        return self._fork.connection

    def _put_by(self, most: int) -> bool:
        # The next one would find a loopback that is up, and a port of it that is taken.
        return self._proxy is None and self._fork.zygote.idle.put(self._fork, most)

    def _give_up(self) -> None:
        self._closed = True
        self._end_network()
        self._fork.end()

    def _discard(self) -> None:
        self._closed = True
        self._end_network()
        self._fork.shut()
        # Whoever waits for an answer stops waiting before the descriptor can become another's.
        with self._lock:
            self._fork.connection.close()
