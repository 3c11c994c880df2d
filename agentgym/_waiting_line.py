"""`WaitingLine`: borrowers that wait for their turn; whoever came first is served first.

A borrower may give up in the very moment in which it is served. What it was served goes on to the
next then: nothing that enters the line is lost.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from agentgym.errors import InfraError

T = TypeVar("T")


class WaitingLine(Generic[T]):
    """Borrowers that wait. Belongs to one event loop."""

    def __init__(self) -> None:
        self._waiters: deque[asyncio.Future[T]] = deque()

    async def wait(self, pass_on: Callable[[T], None]) -> T:
        """Wait to be served.

        Args:
            pass_on: Given what was served to a borrower that gave up.

        Raises:
            InfraError: If the line was dismissed.
        """
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                pass_on(waiter.result())
            raise
        finally:
            with suppress(ValueError):
                self._waiters.remove(waiter)

    def serve(self, what: T) -> bool:
        """Serve the first in line; False if nobody waits."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(what)
                return True
        return False

    def dismiss(self, message: str) -> None:
        """Tell everybody that nothing will come, and why."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(InfraError(message))
        self._waiters.clear()
