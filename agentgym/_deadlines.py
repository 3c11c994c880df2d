"""Time limits that cost next to nothing until they run out.

A rollout sets a limit on every wait and lifts it microseconds later, thousands of times a second;
a timer of the event loop for each would cost more than the wait. `Deadlines` keeps one timer per
loop, for the earliest limit that it knows of, and looks through the others when that one rings.
"""

import asyncio
import math
import time
from types import TracebackType
from typing import Protocol, Self
from weakref import WeakKeyDictionary


class Limit(Protocol):
    """Something that may take no longer than until `due` (on the monotonic clock)."""

    due: float

    def expire(self) -> None:
        """Do what happens then; called on the loop."""
        ...


class Deadlines:
    """The limits of one event loop."""

    def __init__(self) -> None:
        self._limits: set[Limit] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._rings = math.inf

    @classmethod
    def here(cls) -> "Deadlines":
        """Return those of the running loop."""
        loop = asyncio.get_running_loop()
        deadlines = _of.get(loop)
        if deadlines is None:
            deadlines = _of[loop] = cls()
        return deadlines

    def set(self, limit: Limit) -> None:
        """Have the limit expire when it is due, unless it is lifted before."""
        self._limits.add(limit)
        if limit.due < self._rings:
            self._wind(limit.due)

    def lift(self, limit: Limit) -> None:
        """Forget a limit; one that expired is forgotten already."""
        self._limits.discard(limit)

    def _wind(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = due
        delay = max(due - time.monotonic(), 0.0)
        self._timer = asyncio.get_running_loop().call_later(delay, self._ring)

    def _ring(self) -> None:
        now = time.monotonic()
        self._timer, self._rings = None, math.inf
        expired = [limit for limit in self._limits if limit.due <= now]
        self._limits.difference_update(expired)
        if self._limits:
            self._wind(min(limit.due for limit in self._limits))
        for limit in expired:
            limit.expire()


class TaskLimit:
    """A limit on a block of the current task: `with TaskLimit(5): await …`.

    Past the limit the block is cancelled and `TimeoutError` is raised from it; `expired` tells it
    from a `TimeoutError` of the block's own.

    Args:
        seconds: From now.
    """

    __slots__ = ("_cancelling", "_deadlines", "_task", "due", "expired")

    def __init__(self, seconds: float) -> None:
        self.due = time.monotonic() + seconds
        self.expired = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a TaskLimit needs a task")
        self._task, self._cancelling = task, task.cancelling()
        self._deadlines = Deadlines.here()
        self._deadlines.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None
    ) -> None:
        self._deadlines.lift(self)
        # Someone else may have cancelled the task, too: then it stays cancelled.
        if (
            self.expired
            and self._task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from fault

    def expire(self) -> None:
        """Cancel the block."""
        self.expired = True
        self._task.cancel()


_of: "WeakKeyDictionary[asyncio.AbstractEventLoop, Deadlines]" = WeakKeyDictionary()
