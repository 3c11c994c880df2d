import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agentgym.server.turns import BusyError, Turns


def turns(running: int = 1, waiting: int = 1, seconds: float = 5) -> Turns:
    return Turns(running, waiting, seconds, lambda _: None)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(10):
            await work()

    asyncio.run(main())


async def have(turns: Turns, log: list[str], name: str, box: asyncio.Lock | None = None) -> None:
    async with turns.turn(box):
        log.append(name)
        await asyncio.sleep(0)
        assert turns.running == 1


def test_whoever_came_first_is_first() -> None:
    async def work() -> None:
        lent, log = turns(waiting=8), list[str]()
        await asyncio.gather(*(have(lent, log, name) for name in "abcd"))
        assert log == list("abcd")
        assert (lent.waiting, lent.running) == (0, 0)

    run(work)


def test_beyond_the_queue_nobody_waits() -> None:
    async def work() -> None:
        lent, log = turns(), list[str]()
        async with lent.turn():
            first = asyncio.create_task(have(lent, log, "a"))
            await asyncio.sleep(0)
            assert lent.waiting == 1
            with pytest.raises(BusyError, match="1 requests wait"):
                await have(lent, log, "b")
        await first
        assert log == ["a"]

    run(work)


def test_without_a_queue_a_free_turn_is_had() -> None:
    async def work() -> None:
        lent, log = turns(waiting=0), list[str]()
        await have(lent, log, "a")
        async with lent.turn():
            with pytest.raises(BusyError):
                await have(lent, log, "b")
        await have(lent, log, "c")
        assert log == ["a", "c"]

    run(work)


def test_nobody_waits_longer_than_the_limit() -> None:
    async def work() -> None:
        lent, box = turns(running=2, seconds=0.01), asyncio.Lock()
        async with lent.turn(box):
            with pytest.raises(BusyError, match=r"within 0.01 s"):
                await have(lent, [], "a", box)
        assert not box.locked()
        async with lent.turn(box):  # what was given up in vain is there for others
            assert lent.running == 1

    run(work)


def test_whoever_gives_up_leaves_the_queue() -> None:
    async def work() -> None:
        lent, log, box = turns(), list[str](), asyncio.Lock()
        async with lent.turn():
            waiting = asyncio.create_task(have(lent, log, "a", box))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
            assert (lent.waiting, box.locked()) == (0, False)
        await have(lent, log, "b", box)
        assert log == ["b"]

    run(work)


def test_a_box_that_is_busy_holds_up_no_other() -> None:
    async def work() -> None:
        lent, log, box = turns(running=2, waiting=4), list[str](), asyncio.Lock()
        async with lent.turn(box):
            queued = asyncio.create_task(have(lent, log, "same box", box))
            await asyncio.sleep(0)
            async with lent.turn():
                log.append("other box")
        await queued
        assert log == ["other box", "same box"]

    run(work)


def test_the_end_of_all_turns_can_be_waited_for() -> None:
    async def work() -> None:
        lent, log = turns(running=2), list[str]()
        await lent.over(5)
        async with lent.turn():
            await lent.over(0.01)
            assert lent.running == 1
        await asyncio.gather(have(lent, log, "a"), lent.over(5))
        assert (log, lent.running) == (["a"], 0)

    run(work)
