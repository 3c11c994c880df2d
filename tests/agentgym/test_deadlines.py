"""Time limits: each expires when it is due, whatever else is set and lifted, and none late."""

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym._deadlines import Deadlines, TaskLimit


class Noted:
    def __init__(self, delay: float) -> None:
        self.due = time.monotonic() + delay
        self.rang: float | None = None

    def expire(self) -> None:
        self.rang = time.monotonic()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.03), st.booleans()), min_size=1, max_size=20))
def test_exactly_those_not_lifted_expire(plan: list[tuple[float, bool]]) -> None:
    async def body() -> None:
        deadlines = Deadlines.here()
        limits = [Noted(delay) for delay, _ in plan]
        for limit in limits:
            deadlines.set(limit)
        for limit, (_, lift) in zip(limits, plan, strict=True):
            if lift:
                deadlines.lift(limit)
        await asyncio.sleep(0.04)
        for limit, (_, lift) in zip(limits, plan, strict=True):
            if lift:
                assert limit.rang is None
            else:
                assert limit.rang is not None
                assert limit.rang >= limit.due

    asyncio.run(body())


def test_a_limit_on_a_block() -> None:
    async def body() -> None:
        with TaskLimit(5) as quick:
            await asyncio.sleep(0)
        assert not quick.expired
        began = time.monotonic()
        with pytest.raises(TimeoutError), TaskLimit(0.02):
            await asyncio.sleep(5)
        assert time.monotonic() - began < 4
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        own = TaskLimit(5)
        with pytest.raises(TimeoutError), own:
            raise TimeoutError
        assert not own.expired

    asyncio.run(body())


def test_a_task_that_someone_cancels_stays_cancelled() -> None:
    async def body() -> None:
        async def work() -> None:
            with TaskLimit(0.01):
                await asyncio.sleep(5)

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        time.sleep(0.02)  # noqa: ASYNC251 (so that the limit rings while the cancellation is due)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(body())
