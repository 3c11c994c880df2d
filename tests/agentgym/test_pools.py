"""Pools: what is lent is well, what is poisoned is not, and nobody waits for ever."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.backoff import Backoff
from agentgym.errors import InfraError, TimeLimitError, UsageError
from agentgym.pools import Pool, PoolConfig

ACTIONS = ["borrow", "give", "poison", "cancel", "ill", "fail", "wait"]
QUICK = Backoff(first=0.001)


class Phones:
    """Makes members that are numbers in a box, and remembers what became of them."""

    def __init__(self) -> None:
        self.made: list[list[int]] = []
        self.closed: list[list[int]] = []
        self.ill: list[list[int]] = []
        self.failures = 0
        self.slow = self.slow_close = 0.0
        self._numbers = itertools.count()

    async def create(self) -> list[int]:
        await asyncio.sleep(self.slow)
        if self.failures:
            self.failures -= 1
            raise InfraError("no phone today")
        self.made.append([next(self._numbers)])
        return self.made[-1]

    async def close(self, member: list[int]) -> None:
        await asyncio.sleep(self.slow_close)
        self.closed.append(member)

    async def healthy(self, member: list[int]) -> bool:
        return member not in self.ill

    def pool(self, **config: Any) -> Pool[list[int]]:
        settings = PoolConfig.model_validate({"backoff": QUICK, **config})
        return Pool("phones", self.create, self.close, self.healthy, settings)


def run(body: Callable[[Phones], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await body(Phones())

    asyncio.run(bounded())


def test_members_are_reused_and_closed_at_the_end() -> None:
    async def body(phones: Phones) -> None:
        async with phones.pool(size=2) as pool:
            for _ in range(5):
                async with pool.lease() as lease:
                    assert lease.member == [0]
            assert pool.status.idle == 1
        assert phones.closed == [[0]]

    run(body)


def test_never_more_than_its_size() -> None:
    async def body(phones: Phones) -> None:
        most = 0

        async def borrow(pool: Pool[list[int]]) -> None:
            nonlocal most
            async with pool.lease():
                most = max(most, pool.status.lent)
                await asyncio.sleep(0.001)

        async with phones.pool(size=3) as pool:
            await asyncio.gather(*(borrow(pool) for _ in range(20)))
        assert most == 3
        assert len(phones.made) == len(phones.closed) == 3

    run(body)


def test_waiting_is_bounded_and_names_the_pool() -> None:
    async def body(phones: Phones) -> None:
        async with phones.pool(size=1) as pool:
            member = await pool.acquire()
            with pytest.raises(TimeLimitError, match=r"lease of phones took longer than .* 0.02 s"):
                await pool.acquire(0.02)
            pool.release(member)
            assert await pool.acquire(0.02) is member

    run(body)


def test_the_first_in_line_is_served_first() -> None:
    async def body(phones: Phones) -> None:
        order: list[int] = []

        async def borrow(pool: Pool[list[int]], number: int) -> None:
            async with pool.lease():
                order.append(number)
                await asyncio.sleep(0)

        async with phones.pool(size=1) as pool:
            await asyncio.gather(*(borrow(pool, number) for number in range(6)))
        assert order == sorted(order)

    run(body)


def test_a_poisoned_member_is_replaced() -> None:
    async def body(phones: Phones) -> None:
        async with phones.pool(size=1) as pool:
            with pytest.raises(RuntimeError):
                async with pool.lease():
                    raise RuntimeError("it fell")
            async with pool.lease() as lease:
                assert lease.member == [1]
                assert phones.closed == [[0]]
                lease.poison = "it smells"
            assert await pool.acquire() == [2]
            assert pool.status.poisoned == 2

    run(body)


def test_an_ill_member_is_not_lent_again() -> None:
    async def body(phones: Phones) -> None:
        async with phones.pool(size=2) as pool:
            async with pool.lease() as lease:
                phones.ill.append(lease.member)
            assert await pool.acquire() == [1]
            assert pool.status.poisoned == 1

    run(body)


def test_quarantine_ends_with_health() -> None:
    async def body(phones: Phones) -> None:
        async with phones.pool(size=1, quarantine=0.02, lease_seconds=1) as pool:
            first = await pool.acquire()
            pool.release(first, poison="no answer")
            await asyncio.sleep(0)
            assert pool.status.resting == 1
            assert await pool.acquire() is first
            phones.ill.append(first)
            pool.release(first, poison="no answer")
            assert await pool.acquire() == [1]
            assert phones.closed == [first]

    run(body)
    with pytest.raises(UsageError, match="health check"):
        Pool("x", Phones().create, Phones().close, config=PoolConfig(quarantine=1))


def test_making_is_retried_and_then_given_up() -> None:
    async def body(phones: Phones) -> None:
        async with phones.pool(size=1, attempts=3) as pool:
            phones.failures = 2
            member = await pool.acquire()
            assert pool.status.failed == 2
            pool.release(member, poison="x")
            phones.failures = 99
            with pytest.raises(
                InfraError, match=r"phones: none could be made in 3 .* no phone today"
            ):
                await pool.acquire()
            phones.failures = 0
            assert await pool.acquire() == [1]

    run(body)


def test_making_and_closing_are_bounded() -> None:
    async def body(phones: Phones) -> None:
        phones.slow = 5.0
        async with phones.pool(size=1, create_seconds=0.01, attempts=2, close_seconds=0.01) as pool:
            with pytest.raises(InfraError, match="create of phones took longer"):
                await pool.acquire()
            phones.slow, phones.slow_close = 0.0, 5.0
            await pool.acquire()
        assert not phones.closed

    run(body)


def test_spares_are_made_ahead() -> None:
    async def body(phones: Phones) -> None:
        async with phones.pool(size=4, spares=2) as pool:
            await asyncio.sleep(0.01)
            assert pool.status.idle == 2
            for _ in range(3):
                await pool.acquire()
            await asyncio.sleep(0.01)
            assert (pool.status.lent, pool.status.idle) == (3, 1)
        assert len(phones.closed) == 4

    run(body)


def test_worn_members_are_replaced() -> None:
    async def body(phones: Phones) -> None:
        async with phones.pool(size=1, uses=2) as pool:
            lent: list[int] = []
            for _ in range(5):
                async with pool.lease() as lease:
                    lent += lease.member
            assert lent == [0, 0, 1, 1, 2]

    run(body)


def test_giving_back_what_was_not_lent_is_an_error() -> None:
    async def body(phones: Phones) -> None:
        async with phones.pool() as pool:
            member = await pool.acquire()
            pool.release(member)
            with pytest.raises(UsageError, match="not on loan"):
                pool.release(member)

    run(body)


def test_closing_tells_those_who_wait() -> None:
    async def body(phones: Phones) -> None:
        pool = phones.pool(size=1)
        await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        await pool.close()
        await pool.close()
        with pytest.raises(InfraError, match="closed"):
            await waiting
        with pytest.raises(InfraError, match="closed"):
            await pool.acquire()
        assert phones.closed == phones.made

    run(body)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(ACTIONS), max_size=40))
def test_no_member_is_ever_lost(actions: list[str]) -> None:
    async def body(phones: Phones) -> None:
        pool = phones.pool(size=2, spares=1, attempts=1)
        borrowing: list[asyncio.Task[list[int]]] = []
        lent: list[list[int]] = []
        for action in actions:
            done = [task for task in borrowing if task.done()]
            borrowing = [task for task in borrowing if not task.done()]
            lent += [
                task.result() for task in done if not task.cancelled() and not task.exception()
            ]
            if action == "borrow":
                borrowing.append(asyncio.create_task(pool.acquire()))
            elif action in ("give", "poison") and lent:
                pool.release(lent.pop(0), poison=action if action == "poison" else None)
            elif action == "cancel" and borrowing:
                borrowing.pop(0).cancel()
            elif action == "ill" and phones.made:
                phones.ill.append(phones.made[-1])
            elif action == "fail":
                phones.failures += 1
            await asyncio.sleep(0.001 if action == "wait" else 0)
            assert 0 <= pool.status.lent <= 2
            assert pool.status.pending >= 0
        for task in borrowing[::2]:
            task.cancel()
        await pool.close()
        await asyncio.gather(*borrowing, return_exceptions=True)
        assert sorted(phones.made) == sorted(phones.closed)

    run(body)


@given(st.integers(1, 2000), st.integers(0, 99))
def test_backoff_grows_within_its_bounds(failures: int, seed: int) -> None:
    backoff = Backoff(first=0.5, factor=2, most=30, jitter=0.5)
    delay = backoff.seconds(failures, random.Random(seed))
    expected = min(0.5 * 2.0 ** min(failures - 1, 60), 30)
    assert 0.5 * expected <= delay <= 1.5 * expected
    assert delay == backoff.seconds(failures, random.Random(seed))
