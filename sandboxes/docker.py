"""`Docker`: a box is a container of its own, on a Docker Engine.

What each part adds:

| part | keeps a program from |
|---|---|
| namespaces (PID, network, mount, IPC, UTS) | what is the host's, and other boxes' |
| no network | every network, the host's loopback and abstract sockets too |
| read-only root, one tmpfs of fixed size | changing the image; filling the disk |
| /sys that is empty | reading of the host's devices |
| memory limit of the container, no swap | using more than the box's, all processes together |
| limit of processes | counting its processes with others' |
| no capabilities, no new privileges | mounting, tracing, setuid |
| another user than the keeper's | signalling, limiting or reading the keeper |
| Docker's seccomp profile and ours | kernel code that a program in a box has no use for |
| rlimits | memory and CPU time of a process, size of a file |

The keeper is the container's main process and root in it, with four capabilities; no program is.
The way to hosts that the spec lists is a proxy on our side of it (`proxy.py`), which has a socket
of the container's loopback (`meeting.py`): the container has no network then, either.

What it does not do: the kernel is shared unless `runtime` says otherwise (gVisor's is `runsc`).
"""

import signal
import time
from typing import Any

from agentgym.errors import DataError, InfraError
from agentgym.sandbox import SandboxSpec
from agentgym.sandboxes.containers import Recipe, container
from agentgym.sandboxes.jail import wire
from agentgym.sandboxes.kept import KEPT, MIB
from agentgym.sandboxes.seccomp import supported
from agentgym.sandboxes.together import OutOfMemoryError, Together

IMAGE = "agentgym-python"
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)  # as a shell says it of a command


class Docker(Together):
    """A container.

    Args:
        spec: What it may use; `image` is the name of an image that has Python 3.9 or newer.
        python: The interpreter, as the container sees it.
        cpus: How many processors' worth of time it may use at once; None for all.
        runtime: The engine's runtime, such as "runsc" for gVisor; None for its default.
        engine: The engine's address; None for what DOCKER_HOST says, or this machine's own.
        keep: How many closed boxes like it are emptied and kept for the next ones.

    Raises:
        UsageError: If the spec lists a network, and the engine is another machine's.
        MissingDependencyError: If the docker package is not installed.
        InfraError: If it can't be started.
    """

    options = ("python", "cpus", "runtime", "engine", "keep")
    isolation = "docker"

    def __init__(
        self,
        spec: SandboxSpec,
        *,
        python: str = "python3",
        cpus: float | None = None,
        runtime: str | None = None,
        engine: str | None = None,
        keep: int = KEPT,
    ) -> None:
        # Without our filter programs could leave System V's queues and memory behind.
        super().__init__(spec, keep if supported() else 0)
        recipe = Recipe(
            image=spec.image or IMAGE,
            python=python,
            modules=spec.modules,
            memory_mb=spec.memory_mb,
            disk_mb=spec.disk_mb,
            processes=spec.processes,
            cpus=cpus,
            runtime=runtime,
            network=bool(spec.network),
        )
        self._recipe, self._engine = recipe, engine
        self._start()

    def _start(self) -> None:
        self._container = container(self._recipe, self._engine)
        self._count()
        try:
            if self._container.loopback is not None:
                self._let_out(self._container.loopback)
            self._open()
        except BaseException:
            self._drop()
            raise

    @property
    def _connection(self) -> wire.Connection | None:
        return None if self._container.ended else self._container.connection

    def _limits(self, cpu: int) -> dict[str, int]:
        # The container's own limit counts its processes alone; an rlimit would count the host's.
        return super()._limits(cpu) | {"processes": 0}

    def _data(self, header: dict[str, Any], body: bytes) -> bytes:
        # The keeper holds it in memory, which is the container's.
        if len(body) > self.spec.disk_mb * MIB:
            what = header.get("path", "files")
            raise DataError(f"{what}: {len(body)} bytes, more than disk_mb={self.spec.disk_mb}")
        return super()._data(header, body)

    def _count(self) -> None:
        self._began = time.time()

    def _explains(self, exit_code: int) -> bool:
        # It takes the engine's time to say, so it is asked only where it can be.
        return exit_code in _KILLED and self._container.ran_out_of_memory(self._began)

    def _death(self) -> InfraError:
        if self._container.ran_out_of_memory(self._began):
            return OutOfMemoryError("The sandbox's container ran out of memory")
        said = self._container.connection.said or "somebody else ended it, or its engine did"
        return InfraError(f"The sandbox's container has died: {said}")

    def _put_by(self, most: int) -> bool:
        return self._container.put_by(most)

    def _give_up(self) -> None:
        self._closed = True
        self._drop()

    def _drop(self) -> None:
        self._shut_in()
        if not self._container.is_ours:
            return
        # Whoever waits for an answer stops waiting before the descriptor can become another's.
        self._container.hang_up()
        with self._lock:
            self._container.end()
