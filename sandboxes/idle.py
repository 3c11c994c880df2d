"""Boxes that were closed and wait for their next lease, emptied: most of what a box takes is there.

A box that is closed ends every program that it has, drops its files, and is handed out again to
whoever asks for one like it. One that doesn't say in time that it is empty is ended instead, and so
is one that has failed at anything, and one that has had its share of leases.
"""

import threading
from collections import deque
from typing import Generic, Protocol, TypeVar

from agentgym.sandboxes.jail import wire

_SECONDS = 2.0
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
        self._members = deque[M]()
        self._closed = False

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
                wire.send(member.connection, {"op": "renew"}, b"")
            except OSError:
                return False
            self._members.append(member)
            return True

    def take(self) -> M | None:
        """Return a box that is empty; None where there is none."""
        while True:
            with self._lock:
                if not self._members:
                    return None
                # The one that has waited longest has had the most time to empty itself.
                member = self._members.popleft()
            try:
                answer = wire.receive(member.connection)
            except OSError:
                answer = None
            if answer is not None and not answer[0]:
                member.leases += 1
                return member
            member.end()

    def close(self) -> None:
        """End every box that waits, and keep no more."""
        with self._lock:
            self._closed = True
            members, self._members = list(self._members), deque()
        for member in members:
            member.end()
