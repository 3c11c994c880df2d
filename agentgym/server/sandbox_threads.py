"""`SandboxThreads`: sandboxes block; here an event loop makes, uses and ends them.

Each call runs on a thread and has a time limit. One that takes too long, or that nobody waits for
any more, is ended by closing its sandbox, since nothing else ends it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from agentgym.errors import AgentGymError, TimeLimitError
from agentgym.sandbox import Sandbox

T = TypeVar("T")

GRACE_SECONDS = 30.0
"""How much longer than it should a call may take."""

_MAKE_SECONDS = 60.0
_CLOSE_SECONDS = 15.0
_CLOSERS = 8


class SandboxThreads:
    """Threads on which sandboxes are made, used and ended. Belongs to one event loop.

    Args:
        threads: How many.
    """

    def __init__(self, threads: int) -> None:
        self._callers = ThreadPoolExecutor(threads, "agentgym-box")
        # What hangs is ended from here, so these must not hang with it.
        self._closers = ThreadPoolExecutor(_CLOSERS, "agentgym-close")
        self._alive: set[Sandbox] = set()

    async def make(self, function: Callable[[], Sandbox]) -> Sandbox:
        """Make a sandbox.

        Raises:
            TimeLimitError: If that takes too long.
            AgentGymError: If it can't be made.
        """
        making = asyncio.get_running_loop().run_in_executor(self._callers, function)
        try:
            done, _ = await asyncio.wait({making}, timeout=_MAKE_SECONDS)
        except asyncio.CancelledError:
            making.add_done_callback(self._unwanted)
            raise
        if not done:
            making.add_done_callback(self._unwanted)
            raise TimeLimitError("making", "a sandbox", _MAKE_SECONDS)
        sandbox = making.result()
        self._alive.add(sandbox)
        return sandbox

    async def call(
        self, sandbox: Sandbox, function: Callable[[], T], what: str, seconds: float = 0.0
    ) -> T:
        """Use a sandbox.

        Args:
            sandbox: The sandbox.
            function: Uses it.
            what: What it does, for messages.
            seconds: How long that should take at most.

        Raises:
            TimeLimitError: If it takes much longer; the sandbox is closed then.
        """
        calling = asyncio.get_running_loop().run_in_executor(self._callers, function)
        try:
            done, _ = await asyncio.wait({calling}, timeout=seconds + GRACE_SECONDS)
        except asyncio.CancelledError:
            await self._break_off(sandbox, calling)
            raise
        if not done:
            await self._break_off(sandbox, calling)
            raise TimeLimitError(what, "the sandbox", seconds + GRACE_SECONDS)
        return calling.result()

    async def end(self, sandbox: Sandbox) -> None:
        """Close a sandbox, within a limit; what runs in it ends."""
        loop = asyncio.get_running_loop()
        await asyncio.wait(
            {loop.run_in_executor(self._closers, self._close, sandbox)}, timeout=_CLOSE_SECONDS
        )

    def end_soon(self, sandbox: Sandbox) -> None:
        """Close a sandbox, and don't wait for it."""
        with suppress(RuntimeError):  # no thread is left, and with it no sandbox
            self._closers.submit(self._close, sandbox)

    async def end_all(self) -> None:
        """Close every sandbox."""
        await asyncio.gather(*map(self.end, list(self._alive)))

    def close(self) -> None:
        """Give the threads up."""
        for threads in (self._callers, self._closers):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _break_off(self, sandbox: Sandbox, calling: "asyncio.Future[Any]") -> None:
        await self.end(sandbox)
        # Its thread is free again before its turn is given to another.
        await asyncio.wait({calling}, timeout=_CLOSE_SECONDS)
        if calling.done() and not calling.cancelled():
            calling.exception()  # which nobody wants to hear of

    def _unwanted(self, making: "asyncio.Future[Sandbox]") -> None:
        """Close a sandbox that came when nobody waited for it any more."""
        if not making.cancelled() and making.exception() is None:
            self.end_soon(making.result())

    def _close(self, sandbox: Sandbox) -> None:
        self._alive.discard(sandbox)
        with suppress(AgentGymError):
            sandbox.close()
