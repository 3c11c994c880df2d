"""Boxes that were closed and wait for their next lease, emptied: most of what a box takes is there.

A box that is closed ends every program that it has, drops its files, and is handed out again to
whoever asks for one like it. One that doesn't say in time that it is empty is ended instead, and so
is one that has failed at anything, and one that has had its share of leases.
"""

import select
import threading
import time
from collections import deque
from typing import Generic, Protocol, TypeVar

from agentgym.sandboxes.jail import wire

_SECONDS = 2.0
_LATE_SECONDS = 0.001
_LEASES = 200


class Member(Protocol):
    """A box between leases."""

    leases: int
    """How often it has been handed out."""

    @property
    def connection(self) -> wire.Connection:
        """Where its keeper is asked."""
        ...

    def end(self) -> None:
        """End it, whatever it is at; may be called more than once."""
        ...


M = TypeVar("M", bound=Member)


class Idle(Generic[M]):
    """Boxes of one kind; may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members = deque[tuple[M, float]]()  # with when they should be empty, the latest
        self._closed = False

    @property
    def members(self) -> list[M]:
        """The boxes that wait, that which has waited longest first."""
        with self._lock:
            return [member for member, _ in self._members]

    def put(self, member: M, most: int) -> bool:
        """Have a box empty itself, and keep it; or leave it to the caller, to be ended.

        Args:
            member: A box that nobody waits for an answer of.
            most: How many may wait.

        Returns:
            Whether it is kept.
        """
        with self._lock:
            if self._closed or len(self._members) >= most or member.leases >= _LEASES:
                return False
            try:
                # It empties itself while others go on; whoever takes it looks at the answer.
                member.connection.settimeout(_SECONDS)
                wire.send(member.connection, {"op": "renew", "lease": member.leases}, b"")
            except OSError:
                return False
            self._members.append((member, time.monotonic() + _SECONDS))
            return True

    def take(self, *, patient: bool) -> M | None:
        """Return a box that is empty; None where there is none.

        Args:
            patient: Whether one that is still emptying itself is waited for.
        """
        while True:
            with self._lock:
                found = next(
                    (one for one in self._members if patient or _has_answered(one[0], one[1])), None
                )
                if found is None:
                    return None
                self._members.remove(found)
            member, due = found
            try:
                member.connection.settimeout(max(due - time.monotonic(), _LATE_SECONDS))
                answer = wire.receive(member.connection)
            except (OSError, ValueError):
                answer = None
            except BaseException:
                member.end()
                raise
            # One that died after it had answered has hung up as well, and says no more than that.
            if answer == ({"renewed": member.leases}, b"") and not _speaks(member):
                member.leases += 1
                return member
            member.end()

    def close(self) -> None:
        """End every box that waits, and keep no more."""
        with self._lock:
            self._closed = True
            members, self._members = list(self._members), deque()
        for member, _ in members:
            member.end()


def _has_answered(member: Member, due: float) -> bool:
    """Whether a box says that it is empty, has died, or is late."""
    return _speaks(member) or time.monotonic() > due


def _speaks(member: Member) -> bool:
    """Whether a box says something, or has died."""
    number = member.connection.fileno()
    if number < 0:
        return True
    poll = select.poll()  # which takes descriptors of any number
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))
