"""`Pool`: resources that are dear to start (browsers, phones, sandboxes, workers), lent one by one.

A pool is told how to make, check and close a member. It makes members when they are asked for, up
to its size, keeps some ready if told to (`spares`), checks one before lending it again, and retries
with back-off on a fresh one when making fails. A member that failed under its borrower is poisoned:
it is closed, or put into quarantine and lent again only once it is healthy (a phone can't be made
anew). Nothing waits without a limit, and the limit's error names the pool and the stage. A pool
belongs to one event loop.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from agentgym._upkeep import Upkeep
from agentgym._waiting_line import WaitingLine
from agentgym.errors import InfraError, TimeLimitError, UsageError
from agentgym.pool_config import PoolConfig

__all__ = ["Pool", "PoolConfig", "PoolStatus", "Lease"]

T = TypeVar("T")
R = TypeVar("R")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A pool's members, counted.

    Attributes:
        lent: With borrowers.
        idle: Ready to be lent.
        resting: In quarantine.
        pending: Being made, checked or closed.
        made: Made so far.
        failed: Failures to make one so far.
        poisoned: Poisoned by a borrower or found unhealthy so far.
    """

    lent: int
    idle: int
    resting: int
    pending: int
    made: int
    failed: int
    poisoned: int


@dataclass(slots=True, eq=False)
class _Slot(Generic[T]):
    member: T
    uses: int = 0
    idle_since: float = 0.0


@dataclass(slots=True, eq=False)
class Lease(Generic[T]):
    """A member on loan.

    Attributes:
        member: The member.
        poison: Set it to say why the member must not be lent to others as it is.
    """

    member: T
    poison: str | None = None


class Pool(Generic[T]):
    """Members that are made, checked, lent and closed.

    Args:
        name: What the members are, for messages.
        create: Makes a member.
        close: Closes one.
        healthy: Says whether one can be lent again; None where there is nothing to check.
        config: How members are kept.
        seed: Seeds the back-off's jitter.
    """

    def __init__(
        self,
        name: str,
        create: Callable[[], Awaitable[T]],
        close: Callable[[T], Awaitable[None]],
        healthy: Callable[[T], Awaitable[bool]] | None = None,
        config: PoolConfig | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self.name = name
        self.config = config or PoolConfig()
        if self.config.quarantine is not None and healthy is None:
            raise UsageError(f"{name}: a quarantine needs a health check to end it.")
        self._upkeep = Upkeep(name, create, close, healthy, self.config, seed)
        self._idle: list[_Slot[T]] = []
        self._lent: dict[int, _Slot[T]] = {}
        self._resting: list[_Slot[T]] = []
        self._alive = 0
        # Whoever waits gets a member, or None: the right to make one.
        self._line: WaitingLine[_Slot[T] | None] = WaitingLine()
        self._warming = 0
        self._closing: set[asyncio.Task[Any]] = set()
        self._making: set[asyncio.Task[Any]] = set()
        self._empty = asyncio.Event()
        self._closed = False
        self._poisoned = 0

    async def __aenter__(self) -> Self:
        self._warm()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def status(self) -> PoolStatus:
        """The members, counted."""
        seen = len(self._lent) + len(self._idle) + len(self._resting)
        return PoolStatus(
            lent=len(self._lent),
            idle=len(self._idle),
            resting=len(self._resting),
            pending=self._alive - seen,
            made=self._upkeep.made,
            failed=self._upkeep.failed,
            poisoned=self._poisoned,
        )

    @asynccontextmanager
    async def lease(self, seconds: float | None = None) -> AsyncGenerator[Lease[T]]:
        """Lend a member for the length of a block; an error in the block poisons the member.

        Args:
            seconds: Longest wait; the configured one if None.

        Raises:
            InfraError: If no member could be made; `TimeLimitError` past the limit.
        """
        lease = Lease(await self.acquire(seconds))
        try:
            yield lease
        except BaseException as fault:
            lease.poison = lease.poison or f"{type(fault).__name__}: {fault}"
            raise
        finally:
            self.release(lease.member, poison=lease.poison)

    async def acquire(self, seconds: float | None = None) -> T:
        """Borrow a member, which is then given back with `release`.

        Args:
            seconds: Longest wait; the configured one if None.

        Raises:
            InfraError: If no member could be made; `TimeLimitError` past the limit.
        """
        limit = self.config.lease_seconds if seconds is None else seconds
        try:
            async with asyncio.timeout(limit):
                slot = await self._next()
        except TimeoutError:
            raise TimeLimitError("lease", self.name, limit) from None
        if self._closed:
            await self._retire(slot)
            raise InfraError(f"{self.name} was closed while this waited.")
        slot.uses += 1
        self._lent[id(slot.member)] = slot
        self._warm()
        return slot.member

    def release(self, member: T, *, poison: str | None = None) -> None:
        """Give a member back.

        Args:
            member: What `acquire` gave.
            poison: Why it must not be lent to others as it is; None if it is well.

        Raises:
            UsageError: If the member is not on loan.
        """
        slot = self._lent.pop(id(member), None)
        if slot is None:
            if self._closed:
                return
            raise UsageError(f"{self.name}: what was given back is not on loan.")
        if self._closed:
            return
        if poison is not None:
            self._poisoned += 1
            _log.info("%s: a member was poisoned: %s", self.name, poison)
            if self.config.quarantine is None:
                self._spawn(self._retire(slot), self._closing)
            else:
                self._resting.append(slot)
                self._spawn(self._rest(slot, self.config.quarantine), self._making)
        elif self.config.uses is not None and slot.uses >= self.config.uses:
            self._spawn(self._retire(slot), self._closing)
        else:
            self._offer(slot)

    async def close(self) -> None:
        """Close every member, lent ones too, within the time that closing one may take."""
        if self._closed:
            return
        self._closed = True
        self._line.dismiss(f"{self.name} was closed while this waited.")
        slots = [*self._idle, *self._lent.values(), *self._resting]
        self._idle.clear()
        self._lent.clear()
        self._resting.clear()
        making, closing = list(self._making), list(self._closing)
        for task in making:
            task.cancel()
        retiring = [self._retire(slot) for slot in slots]
        await asyncio.gather(*making, *closing, *retiring, return_exceptions=True)
        # What is on its way to a borrower is closed where it arrives.
        if self._alive:
            self._empty.clear()
            limit = self.config.close_seconds
            try:
                async with asyncio.timeout(limit):
                    await self._empty.wait()
            except TimeoutError:
                _log.warning(
                    "%s: %d members were not closed in %g s", self.name, self._alive, limit
                )

    def abandon(self) -> None:
        """Give everything up without closing it: members are ended by other means, or not at all.

        For a program that leaves at once; works without a running event loop.
        """
        self._closed = True
        self._idle.clear()
        self._lent.clear()
        self._resting.clear()

    # How a borrower gets a member.

    async def _next(self) -> _Slot[T]:
        while True:
            if self._closed:
                raise InfraError(f"{self.name} is closed.")
            slot: _Slot[T] | None = None
            if self._idle:
                slot = self._idle.pop()  # the one used last is the warmest
            elif self._alive < self.config.size:
                self._alive += 1
            else:
                slot = await self._line.wait(self._hand_on)
            if slot is None:
                try:
                    return await self._make()
                except BaseException:
                    self._free()
                    raise
            if await self._fit(slot):
                return slot
            self._poisoned += 1
            self._spawn(self._retire(slot), self._closing)

    async def _make(self) -> _Slot[T]:
        return _Slot(await self._upkeep.make())

    async def _fit(self, slot: _Slot[T]) -> bool:
        try:
            return await self._upkeep.check(slot.member, time.monotonic() - slot.idle_since)
        except asyncio.CancelledError:
            self._offer(slot)
            raise

    # Where members go.

    def _hand_on(self, slot: _Slot[T] | None) -> None:
        """Give the next in line what one who gave up was served."""
        self._free() if slot is None else self._offer(slot)

    def _offer(self, slot: _Slot[T]) -> None:
        """Hand a member to the first in line, or keep it."""
        if self._closed:
            self._spawn(self._retire(slot), self._closing)
            return
        slot.idle_since = time.monotonic()
        if not self._line.serve(slot):
            self._idle.append(slot)

    def _free(self) -> None:
        """Hand the right to make a member to the first in line, or give it up."""
        if self._line.serve(None):
            return
        self._alive -= 1
        if not self._alive:
            self._empty.set()

    async def _retire(self, slot: _Slot[T]) -> None:
        try:
            await self._upkeep.close(slot.member)
        finally:
            self._free()
            if not self._closed:
                self._warm()

    async def _rest(self, slot: _Slot[T], seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._resting.remove(slot)
        slot.idle_since = -float("inf")  # never lent unchecked
        if await self._fit(slot):
            self._offer(slot)
        else:
            await self._retire(slot)

    def _warm(self) -> None:
        while (
            len(self._idle) + self._warming < self.config.spares and self._alive < self.config.size
        ):
            self._alive += 1
            self._warming += 1
            self._spawn(self._make(), self._making).add_done_callback(self._spare_made)

    def _spare_made(self, task: asyncio.Task[_Slot[T]]) -> None:
        self._warming -= 1
        if task.cancelled():
            self._free()
        elif (fault := task.exception()) is not None:
            # A borrower will meet the same failure and be told.
            _log.warning("%s: no spare could be made: %s", self.name, fault)
            self._free()
        else:
            self._offer(task.result())

    def _spawn(self, work: Coroutine[Any, Any, R], kept: set[asyncio.Task[Any]]) -> asyncio.Task[R]:
        task = asyncio.get_running_loop().create_task(work)
        kept.add(task)
        task.add_done_callback(kept.discard)
        return task
