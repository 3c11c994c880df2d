"""`Pace`: no more than so many a minute, evenly spaced.

Servers that count requests per minute count shorter spans as well, so a minute's worth at once is
refused like too many. One pace may be kept by several event loops and threads together.
"""

import asyncio
import threading
import time


class Pace:
    """Says when the next one may go.

    Args:
        per_minute: How many may go in a minute; above 0.
    """

    def __init__(self, per_minute: float) -> None:
        self._gap = 60.0 / per_minute
        self._free = float("-inf")
        self._lock = threading.Lock()

    async def wait(self) -> None:
        """Wait for one's turn; whoever is cancelled meanwhile has had it."""
        await asyncio.sleep(self.delay(time.monotonic()))

    def delay(self, now: float) -> float:
        """Take the next turn and return the seconds until it comes.

        Args:
            now: The time, in seconds on a clock that never goes back.
        """
        with self._lock:
            turn = max(now, self._free)
            self._free = turn + self._gap
        return turn - now
