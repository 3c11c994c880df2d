"""`Turns`: who may run now, who waits, and who is told to come back later.

Back-pressure in three bounds: so many run at a time, so many wait, and none of those for longer
than so long. Whoever is refused has run nothing and may ask again.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

from agentgym.errors import InfraError


class BusyError(InfraError):
    """There is no room now. Nothing has run; ask again later."""


class Turns:
    """Turns to run something. Belongs to one event loop.

    Args:
        running: How many have one at a time.
        waiting: How many may wait for one.
        seconds: Longest wait.
        waited: Told how long each wait took.
    """

    def __init__(
        self, running: int, waiting: int, seconds: float, waited: Callable[[float], None]
    ) -> None:
        self._free = asyncio.Semaphore(running)
        self._most_waiting, self._seconds, self._waited = waiting, seconds, waited
        self.waiting = 0
        self.running = 0
        self._nobody = asyncio.Event()
        self._nobody.set()

    @asynccontextmanager
    async def turn(self, box: asyncio.Lock | None = None) -> AsyncGenerator[None]:
        """Have a turn for the length of a block.

        Args:
            box: Held as well, and waited for first: turns in one box come one after the other.

        Raises:
            BusyError: If too many wait already, or the wait takes too long.
        """
        box = box or asyncio.Lock()
        if self.waiting >= self._most_waiting and (box.locked() or self._free.locked()):
            raise BusyError(f"{self.waiting} requests wait for a turn already; ask again later")
        began = time.monotonic()
        self.waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                await box.acquire()
                try:
                    await self._free.acquire()
                except BaseException:
                    box.release()
                    raise
        except TimeoutError:
            raise BusyError(f"No turn came within {self._seconds:g} s; ask again later") from None
        finally:
            self.waiting -= 1
        self._waited(time.monotonic() - began)
        self.running += 1
        self._nobody.clear()
        try:
            yield
        finally:
            self.running -= 1
            if self.running == 0:
                self._nobody.set()
            self._free.release()
            box.release()

    async def over(self, seconds: float) -> None:
        """Wait until nobody has a turn, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._nobody.wait()
