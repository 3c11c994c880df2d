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
| memory cgroup per box, without swap, where there can be one | using more memory together |

The way to hosts that the spec lists is a proxy on our side of it (`proxy.py`).

What it does not do: `cpu_seconds` is of one process, and so is `memory_mb` where there can be no
cgroup, so a box may use as much as its processes together; the kernel is shared, so a hole in it is
a hole in the box.
"""

import os

from agentgym.errors import InfraError
from agentgym.sandbox import SandboxSpec
from agentgym.sandboxes.bubblewrap_command import Recipe
from agentgym.sandboxes.cgroup_places import NoPlaceError
from agentgym.sandboxes.cgroups import own_cgroups
from agentgym.sandboxes.jail import wire
from agentgym.sandboxes.kept import KEPT, MIB
from agentgym.sandboxes.proxy import received
from agentgym.sandboxes.together import OutOfMemoryError, Together, together_bytes
from agentgym.sandboxes.zygotes import Fork, zygote


class Bubblewrap(Together):
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
        self._recipe = Recipe(image, python, spec.modules)
        self._fork: Fork | None = None
        self._start()

    def _start(self) -> None:
        spec = self.spec
        memory_bytes = together_bytes(spec.memory_mb, spec.disk_mb)
        self._fork = zygote(self._recipe).box(memory_bytes, network=bool(spec.network))
        self._count()
        try:
            if spec.network:
                self._let_out(received(self._fork.connection))
            self._open(disk_bytes=spec.disk_mb * MIB, inodes=1024 + 64 * spec.disk_mb)
        except BaseException:
            self._drop()
            raise

    @property
    def _connection(self) -> wire.Connection | None:
        return None if self._fork is None else self._fork.connection

    @property
    def notes(self) -> tuple[str, ...]:
        """Whether boxes have a memory cgroup; see `Sandbox.notes`."""
        try:
            return (f"Each box has a memory cgroup ({own_cgroups().place}).",)
        except NoPlaceError as fault:
            return (f"Boxes have no memory cgroup, so memory_mb is of each process: {fault}.",)

    def _kills(self) -> int:
        """Return how many processes of the box were killed for want of memory."""
        return 0 if self._fork is None or self._fork.cgroup is None else self._fork.cgroup.kills()

    def _count(self) -> None:
        self._kills_before = self._kills()

    def _explains(self, exit_code: int) -> bool:
        return self._kills() > self._kills_before

    def _death(self) -> InfraError:
        if self._kills() > self._kills_before:
            return OutOfMemoryError("The sandbox's programs ran out of memory and ended it")
        return super()._death()

    def _give_up(self) -> None:
        self._closed = True
        if self._fork is not None:
            self._fork.end()
        self._drop()

    def _put_by(self, most: int) -> bool:
        return self._fork is not None and self._fork.zygote.idle.put(self._fork, most)

    def _drop(self) -> None:
        fork = self._fork
        if fork is None or self._owner != os.getpid():
            return
        self._shut_in()
        # Whoever waits for an answer stops waiting before the descriptor can become another's.
        fork.shut()
        with self._lock:
            if self._fork is fork:  # and not what came after it
                self._fork = None
            fork.close()
