"""`OwnLoop`: an event loop for callers that have none, which Ctrl-C and stuck tasks can't hold up.

`asyncio.Runner` does most of it, but its `close` waits for ever for tasks and threads that don't
let go. Here the loop is left in two steps: `finish` does the last work and winds up what still
runs, within a limit; `close` waits for nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from agentgym.errors import UsageError

T = TypeVar("T")


class OwnLoop:
    """An event loop, made when it is first needed."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None
        self._hurried = False

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine function to its end.

        Args:
            work: Called on the loop; what it gives is awaited.

        Raises:
            UsageError: Inside a running event loop.
        """
        if _inside_a_loop():
            raise UsageError(
                "The plain form can't run inside a running event loop (as in a notebook); "
                "use `await collector.gather(specs)` and `await collector.aclose()`."
            )
        if self._runner is None:
            self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        task: asyncio.Task[Any] | None = None

        async def main() -> T:
            nonlocal task
            task = asyncio.current_task()
            return await work()

        try:
            return self._runner.run(main())
        except KeyboardInterrupt:
            # The first Ctrl-C cancels the task and comes here once it has wound up; only a second
            # one comes earlier.
            self._hurried = task is not None and not task.done()
            raise

    def finish(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        """Do the last work and cancel what else runs; nothing if the loop was never needed.

        After a second Ctrl-C nothing is done either: whoever presses twice doesn't want to wait.

        Args:
            work: As for `run`.
            seconds: Longest wait for the tasks that are cancelled, and then for generators.
        """
        if self._runner is None or self._hurried:
            return

        async def main() -> None:
            await work()
            others = asyncio.all_tasks() - {asyncio.current_task()}  # a policy's, most likely
            for task in others:
                task.cancel()
            if others:
                await asyncio.wait(others, timeout=seconds)
            # A generator that can't be closed in time is left to its fate.
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await asyncio.get_running_loop().shutdown_asyncgens()

        self._runner.run(main())

    def close(self) -> None:
        """Give the loop up, without waiting."""
        runner, self._runner = self._runner, None
        if runner is not None:
            loop = runner.get_loop()
            loop.set_exception_handler(_ignore)
            loop.close()


def _inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _ignore(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
    return None
