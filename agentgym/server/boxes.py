"""`Boxes`: the sandboxes behind a server, without anything of HTTP.

A box is made for one exec and closed after it, or opened for a client and kept until the client
closes it, leaves it idle for too long, or the server stops.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial

from agentgym.config import validate
from agentgym.errors import DataError, InfraError, UsageError
from agentgym.sandbox import ExecResult, Sandbox, SandboxSpec, make_sandbox
from agentgym.server.config import SandboxServerConfig
from agentgym.server.messages import BoxRequest, ExecRequest, Opened, RunRequest
from agentgym.server.metrics import SandboxMetrics
from agentgym.server.sandbox_threads import GRACE_SECONDS, SandboxThreads
from agentgym.server.turns import BusyError, Turns

CLOSING_SECONDS = 20.0
"""What closing every box may take, once what runs has had its time."""


class NoBoxError(InfraError):
    """There is no such box: it was closed, or idle for too long, or the server is another one."""


@dataclass(eq=False, slots=True)
class _Box:
    id: str
    sandbox: Sandbox
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    idle: asyncio.TimerHandle | None = None


def probe(config: SandboxServerConfig) -> str:
    """Make a box as the server would, and return how it is kept apart.

    Raises:
        AgentGymError: If there can be none; the message says why.
    """
    with _make(config, config.granted(validate(SandboxSpec, {}))) as box:
        return box.exec("").isolation


def _make(config: SandboxServerConfig, spec: SandboxSpec) -> Sandbox:
    given = {name: getattr(spec, name) for name in SandboxSpec.model_fields}
    return make_sandbox(config.backend, **config.options, **given)


class Boxes:
    """Boxes of one backend. Belongs to one event loop.

    Args:
        config: How many, and what they may use.
        metrics: Told what happens.
    """

    def __init__(self, config: SandboxServerConfig, metrics: SandboxMetrics) -> None:
        self.config = config
        self._metrics = metrics
        self._turns = Turns(
            config.concurrency, config.queue, config.queue_seconds, metrics.wait_seconds.observe
        )
        self._threads = SandboxThreads(config.concurrency)
        self._kept: dict[str, _Box] = {}
        self._opening = 0
        self._closed = False
        metrics.watch("agentgym_queue_length", "Waiting for a turn.", lambda: self._turns.waiting)
        metrics.watch("agentgym_running", "Having a turn.", lambda: self._turns.running)
        metrics.watch("agentgym_boxes_open", "Boxes kept for clients.", lambda: len(self._kept))

    async def run(self, request: RunRequest) -> ExecResult:
        """Run something in a box of its own.

        Raises:
            BusyError: If there is no room now.
            UsageError: If it can't be done as asked.
            InfraError: If the sandbox failed.
        """
        spec = self.config.granted(request)
        self._check_open()
        async with self._turns.turn(), self._waited_for():
            sandbox = await self._made(spec)
            try:
                return await self._exec(sandbox, request, spec.wall_seconds)
            finally:
                await self._threads.end(sandbox)

    async def open(self, request: BoxRequest) -> Opened:
        """Open a box and keep it.

        Raises:
            As `run`.
        """
        spec = self.config.granted(request)
        self._check_open()
        if len(self._kept) + self._opening >= self.config.boxes:
            raise BusyError(f"{self.config.boxes} boxes are open already; ask again later")
        self._opening += 1
        try:
            async with self._turns.turn():
                sandbox = await self._made(spec)
        finally:
            self._opening -= 1
        box = _Box(secrets.token_hex(16), sandbox)
        self._kept[box.id] = box
        self._rest(box)
        return Opened(
            id=box.id,
            isolation=str(getattr(sandbox, "isolation", self.config.backend)),
            limits={name: getattr(spec, name) for name, _ in self.config.most},
            answer_seconds=self.config.queue_seconds + GRACE_SECONDS,
            idle_seconds=self.config.idle_seconds,
        )

    async def exec(self, box_id: str, request: ExecRequest) -> ExecResult:
        """Run something in a box that is open.

        Raises:
            NoBoxError: If there is none of that name.
            As `run`.
        """
        async with self._using(box_id) as box:
            seconds = request.wall_seconds or box.sandbox.spec.wall_seconds
            seconds = min(seconds, self.config.most.wall_seconds)
            async with self._waited_for():
                return await self._exec(box.sandbox, request, seconds)

    async def put(self, box_id: str, path: str, data: bytes) -> None:
        """Write a file of a box's; raises as `exec` and `Sandbox.put`."""
        async with self._using(box_id) as box:
            await self._threads.call(box.sandbox, partial(box.sandbox.put, path, data), "put")

    async def get(self, box_id: str, path: str, most_bytes: int | None) -> bytes:
        """Read a file of a box's; raises as `exec` and `Sandbox.get`."""
        most = self.config.file_bytes
        most = most if most_bytes is None else min(most, most_bytes)
        async with self._using(box_id) as box:
            get = partial(box.sandbox.get, path, most_bytes=most)
            return await self._threads.call(box.sandbox, get, "get")

    async def close(self, box_id: str) -> None:
        """Close a box; what runs in it ends.

        Raises:
            NoBoxError: If there is none of that name.
        """
        await self._drop(self._find(box_id))

    async def stop(self) -> None:
        """Begin nothing any more, leave what runs its time, and close every box."""
        self._closed = True
        await self._turns.over(self.config.grace_seconds)
        for box in list(self._kept.values()):
            self._forget(box)
        await self._threads.end_all()

    async def aclose(self) -> None:
        """Stop, if that is still to be done, and give the threads up."""
        await self.stop()
        self._threads.close()

    # A box's life.

    def _find(self, box_id: str) -> _Box:
        self._check_open()
        box = self._kept.get(box_id)
        if box is None:
            raise NoBoxError("There is no such box: it was closed, or idle for too long")
        return box

    def _check_open(self) -> None:
        if self._closed:
            raise BusyError("The server stops; ask another one, or this one when it is back")

    @asynccontextmanager
    async def _using(self, box_id: str) -> AsyncGenerator[_Box]:
        """Have a turn in a box; one that breaks is dropped, since nothing more can come of it."""
        box = self._find(box_id)
        box.users += 1
        self._wake(box)
        try:
            async with self._turns.turn(box.turn):
                if self._kept.get(box_id) is not box:
                    raise NoBoxError("The box was closed before this request's turn came")
                try:
                    yield box
                except (InfraError, asyncio.CancelledError):
                    await self._drop(box)
                    raise
        finally:
            box.users -= 1
            self._rest(box)

    def _rest(self, box: _Box) -> None:
        if box.users == 0 and self._kept.get(box.id) is box:
            loop = asyncio.get_running_loop()
            box.idle = loop.call_later(self.config.idle_seconds, self._expire, box)

    def _wake(self, box: _Box) -> None:
        if box.idle is not None:
            box.idle.cancel()
            box.idle = None

    def _expire(self, box: _Box) -> None:
        self._forget(box)
        self._threads.end_soon(box.sandbox)

    def _forget(self, box: _Box) -> None:
        self._wake(box)
        self._kept.pop(box.id, None)

    async def _drop(self, box: _Box) -> None:
        self._forget(box)
        await self._threads.end(box.sandbox)

    async def _made(self, spec: SandboxSpec) -> Sandbox:
        self._check_open()  # once more: there was a wait
        return await self._threads.make(partial(_make, self.config, spec))

    # What happens in one.

    async def _exec(
        self, sandbox: Sandbox, request: ExecRequest | RunRequest, seconds: float
    ) -> ExecResult:
        call = partial(_exec, sandbox, request, seconds, self.config.file_bytes)
        try:
            result = await self._threads.call(sandbox, call, "exec", seconds)
        except InfraError:
            self._metrics.execs.labels("infra").inc()
            raise
        except UsageError as fault:
            if not self._closed:
                raise
            # It was we who closed the box that this ran in.
            self._metrics.execs.labels("infra").inc()
            raise InfraError("The server stopped while this ran") from fault
        self._metrics.ran(result)
        return result

    @asynccontextmanager
    async def _waited_for(self) -> AsyncGenerator[None]:
        """Count an exec whose client hangs up, though its box may not be there yet."""
        try:
            yield
        except asyncio.CancelledError:
            self._metrics.execs.labels("abandoned").inc()
            raise


def _exec(
    sandbox: Sandbox, request: ExecRequest | RunRequest, seconds: float, file_bytes: int
) -> ExecResult:
    result = sandbox.exec(
        request.code, language=request.language, stdin=request.stdin, wall_seconds=seconds
    )
    files: dict[str, bytes] = {}
    for path in request.files_out:
        with suppress(DataError):  # as everywhere, what is not there or too large is left out
            files[path] = sandbox.get(path, most_bytes=file_bytes)
            file_bytes -= len(files[path])
    return replace(result, files=files)
