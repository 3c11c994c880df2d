"""How far apart turns are."""

import asyncio
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agentgym.pace import Pace


def test_the_first_goes_at_once_and_the_others_queue() -> None:
    pace = Pace(per_minute=30)
    assert [pace.delay(100.0) for _ in range(3)] == [0.0, 2.0, 4.0]
    assert pace.delay(105.0) == 1.0
    assert pace.delay(200.0) == 0.0  # what was not used up is lost: there are no bursts
    assert pace.delay(200.0) == 2.0


@given(per_minute=st.floats(0.1, 1e4), steps=st.lists(st.floats(0, 120), min_size=1, max_size=200))
def test_no_minute_has_more_than_it_may(per_minute: float, steps: list[float]) -> None:
    pace, now, turns = Pace(per_minute), 0.0, list[float]()
    for step in steps:
        now += step
        turns.append(now + pace.delay(now))
    gaps = [later - earlier for earlier, later in pairwise(turns)]
    assert all(gap >= 60 / per_minute * 0.999_999 - 1e-9 for gap in gaps)


def test_waiting_is_for_the_turn() -> None:
    async def main() -> None:
        pace = Pace(per_minute=60_000)
        await asyncio.gather(*(pace.wait() for _ in range(3)))

    asyncio.run(main())
