"""`Arrivals`: the busy members of a vector environment, in the order in which they are ready.

A member is ready when its worker has answered, when its time limit has run out, or when its pause
before another try is over. Workers tell of answers from their own threads; limits and pauses are
looked after by whoever waits here, and so are lanes that members share, where a slow call is moved
aside by whoever waits.
"""

import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from agentgym._member import Member, Outcome
from agentgym.errors import EpisodeStateError, TimeLimitError
from agentgym.workers import Pending

_LOOK_SECONDS = 0.05
"""How often time limits are looked after while answers keep coming."""


class Arrivals:
    """The busy members. One thread waits; any thread may tell."""

    def __init__(self) -> None:
        self._told: SimpleQueue[tuple[Member, Pending[Any]]] = SimpleQueue()
        self._busy: set[Member] = set()
        self._next_look = 0.0

    @property
    def busy(self) -> list[int]:
        """The numbers of the members that are awaited, sorted."""
        return sorted(member.index for member in self._busy)

    def expect(self, *members: Member) -> None:
        """Await members that were given a job."""
        self._busy.update(members)

    def tell(self, member: Member, call: Pending[Any]) -> None:
        """Say that a call of a member's has its answer; from any thread."""
        self._told.put((member, call))

    def next(self, timeout: float | None = None) -> tuple[int, Outcome]:
        """Wait for whichever member is ready first.

        Args:
            timeout: Most seconds to wait; None for as long as the members' own limits allow.

        Returns:
            The member's number and what became of its job.

        Raises:
            TimeLimitError: If none is ready in time; they stay awaited.
            EpisodeStateError: If none is busy.
            UsageError: If the member was asked for what can't be done.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            if not self._busy:
                raise EpisodeStateError("Nothing to receive: send a member something first.")
            member = self._first(until)
            if member is None:
                raise TimeLimitError("recv", f"{len(self._busy)} busy members", timeout or 0.0)
            try:
                outcome = member.collect()
            finally:
                if not member.busy:
                    self._busy.discard(member)
            if outcome is not None:
                return member.index, outcome

    def _first(self, until: float | None) -> Member | None:
        # While answers keep coming, time limits are looked after now and then only: that takes a
        # look at every member.
        busy = self._busy
        while True:
            now = time.monotonic()
            if now < self._next_look:
                with suppress(Empty):
                    member, call = self._told.get_nowait()
                    if member.holds(call):
                        return member
                    continue
            self._next_look = now + _LOOK_SECONDS
            nearest = min(busy, key=lambda member: member.deadline)
            if nearest.deadline <= now:
                return nearest
            wait = nearest.deadline - now
            if until is not None:
                wait = min(wait, until - now)
            lanes = {m.worker.lane for m in busy if m.worker.lane.patience is not None}
            wait = min([wait, *(lane.patience or 0.0 for lane in lanes)])
            try:
                member, call = self._told.get(timeout=max(0.0, wait))
            except Empty:
                if until is not None and time.monotonic() >= until:
                    return None
                for lane in lanes:
                    lane.relieve()
                continue
            if member.holds(call):
                return member
