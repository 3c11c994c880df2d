"""Workers: one contract over every kind, and what each kind does when the world fails."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import toy_envs
import worker_envs

from agentgym.env import Frame, WorkerKind
from agentgym.errors import (
    EnvError,
    EpisodeStateError,
    InfraError,
    TimeLimitError,
    UnknownNameError,
    UsageError,
)
from agentgym.tool import ToolCall
from agentgym.workers import Worker, make_worker, worker_kind

KINDS = [
    WorkerKind.SHARED,
    WorkerKind.THREAD,
    pytest.param(WorkerKind.PROCESS, marks=pytest.mark.integration),
]
Make = Callable[..., Worker]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Worker] = []

    def one(kind: WorkerKind, source: Any = toy_envs.MOODY, **kwargs: Any) -> Worker:
        made.append(make_worker(kind, source, kwargs))
        return made[-1]

    yield one
    for worker in made:
        worker.close(timeout=10).result()


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await body()

    asyncio.run(bounded())


@pytest.mark.parametrize("kind", KINDS)
def test_an_episode_awaited_and_asked_for(kind: WorkerKind, make: Make) -> None:
    worker = make(kind, toy_envs.COUNTER, visual=True, action_format="tags", expert=True)

    async def awaited() -> list[Any]:
        reset = await worker.reset(5, {"task": 2})
        step = await worker.step("<add>1</add>")
        return [reset, step]

    first = asyncio.run(awaited())
    reset, step = worker.reset(5, {"task": 2}).result(), worker.step("<add>1</add>").result()
    for one, other in zip(first, [reset, step], strict=True):
        assert one.observation["text"] == other.observation["text"]
        assert one.info == other.info
        np.testing.assert_array_equal(one.observation["image"], other.observation["image"])
    assert reset.briefing.task.goal == "Reach 5."
    assert reset.briefing.task.truth == 5
    assert "Bring the counter to the goal." in reset.briefing.instructions
    assert [tool.name for tool in reset.briefing.tools] == ["add", "say"]
    assert step.observation["image"].shape == (4, 6, 3)
    assert step.calls[0].arguments == {"number": "1"}
    assert not step.terminated
    assert 0 < step.seconds < 1


@pytest.mark.parametrize("kind", KINDS)
def test_errors_keep_their_branch(kind: WorkerKind, make: Make) -> None:
    worker = make(kind)
    with pytest.raises(EpisodeStateError):
        worker.step("x").result()
    with pytest.raises(UnknownNameError if kind != WorkerKind.PROCESS else UsageError, match="moo"):
        worker.reset(options={"task": "moo"}).result()
    with pytest.raises(InfraError, match="no mood could be had"):
        worker.reset(options={"fail": True}).result()
    worker.reset().result()
    with pytest.raises(EnvError, match=r"(?s)RuntimeError: a bug in the world.*toy_envs.py:\d+"):
        worker.step("raise").result()
    assert worker.broken is None
    worker.reset().result()
    assert worker.step("x").result().observation["text"] == "x 1"


@pytest.mark.parametrize("kind", KINDS)
def test_a_hang_is_a_time_limit_and_breaks_the_worker(kind: WorkerKind, make: Make) -> None:
    worker = make(kind)
    pid = worker.reset().result().info["pid"]
    began = time.monotonic()
    with pytest.raises(TimeLimitError, match=rf"step of toy/Moody-v0 in {kind} worker \d+ took"):
        worker.step("hang", timeout=0.1).result()
    assert time.monotonic() - began < 10
    with pytest.raises(InfraError, match="Use a fresh worker"):
        worker.step("x")
    worker.close().result()
    if kind == WorkerKind.PROCESS:
        wait_until(lambda: not alive(pid))


@pytest.mark.parametrize("kind", KINDS)
def test_a_hang_in_a_coroutine(kind: WorkerKind, make: Make) -> None:
    async def body() -> None:
        worker = make(kind)
        await worker.reset()
        with pytest.raises(TimeLimitError):
            await worker.step("hang", timeout=0.1)

    run(body)


@pytest.mark.parametrize("kind", KINDS)
def test_one_call_at_a_time(kind: WorkerKind, make: Make) -> None:
    worker = make(kind)
    worker.reset().result()
    slow = worker.step("sleep 0.2")
    with pytest.raises(EpisodeStateError, match="busy"):
        worker.step("x")
    assert slow.result().observation["text"] == "sleep 1"


@pytest.mark.parametrize("kind", KINDS)
def test_close_does_not_wait_for_a_call_under_way(kind: WorkerKind, make: Make) -> None:
    worker = make(kind)
    worker.reset().result()
    hanging = worker.step("sleep 5")
    began = time.monotonic()
    worker.close().result()
    assert time.monotonic() - began < 4
    with pytest.raises(InfraError, match="killed"):
        hanging.result()
    worker.close().result()


@pytest.mark.parametrize("kind", KINDS)
def test_call_reads_attributes_and_methods(kind: WorkerKind, make: Make) -> None:
    worker = make(kind, toy_envs.COUNTER, render_mode="ansi")
    shown = worker.reset(1).result().observation["text"]
    assert worker.call("render").result() == shown
    assert worker.call("max_turns").result() is None


@pytest.mark.parametrize("kind", [WorkerKind.SHARED, WorkerKind.THREAD])
def test_late_envs_are_closed_when_their_call_comes_back(kind: WorkerKind, make: Make) -> None:
    closed = threading.Event()

    class Slow(toy_envs.Moody):
        def _release(self) -> None:
            closed.set()

    worker = make(kind, Slow)
    worker.reset().result()
    with pytest.raises(TimeLimitError):
        worker.step("sleep 0.2", timeout=0.05).result()
    assert closed.wait(2)


def test_a_thread_worker_keeps_its_thread(make: Make) -> None:
    class Affine(toy_envs.Moody):
        def __init__(self) -> None:
            super().__init__()
            self.thread = threading.get_ident()

        def _act(self, calls: Any) -> Any:
            assert threading.get_ident() == self.thread
            return super()._act(calls)

    worker = make(WorkerKind.THREAD, Affine)
    worker.reset().result()
    worker.step("sleep 0.1").result()
    assert worker.step("x").result().observation["text"] == "x 2"


def test_the_shared_thread_moves_a_slow_environment_aside(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    act, released = toy_envs.Moody._act, threading.Event()

    def slow_act(env: toy_envs.Moody, calls: Sequence[ToolCall]) -> Frame:
        if calls[0].arguments["what"] == "wait":
            assert released.wait(60)
        return act(env, calls)

    monkeypatch.setattr(toy_envs.Moody, "_act", slow_act)
    slow, quick = make(WorkerKind.SHARED), make(WorkerKind.SHARED)
    slow.reset().result()
    quick.reset().result()
    waiting = slow.step("wait")
    for _ in range(10):
        quick.step("x", timeout=30).result()
    assert not waiting.done()
    released.set()
    assert waiting.result().observation["text"] == "wait 1"


def test_many_hanging_neighbours_do_not_stop_the_shared_thread(make: Make) -> None:
    async def body() -> None:
        hanging = [make(WorkerKind.SHARED) for _ in range(5)]
        quick = [make(WorkerKind.SHARED) for _ in range(20)]
        await asyncio.gather(*(worker.reset() for worker in [*hanging, *quick]))
        stuck = [worker.step("hang", timeout=1.0) for worker in hanging]
        steps = await asyncio.gather(*(worker.step("x", timeout=1.0) for worker in quick))
        assert all(step.observation["text"] == "x 1" for step in steps)
        outcomes = await asyncio.gather(*stuck, return_exceptions=True)
        assert all(isinstance(outcome, TimeLimitError) for outcome in outcomes)

    run(body)


def test_a_cancelled_wait_leaves_a_busy_worker_that_closes_at_once(make: Make) -> None:
    async def body() -> None:
        worker = make(WorkerKind.THREAD)
        await worker.reset()

        async def waits() -> None:
            await worker.step("sleep 0.5")

        task = asyncio.create_task(waits())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert worker.busy
        await worker.close()
        assert worker.broken

    run(body)


def test_the_briefing_has_the_stop_strings_of_the_action_format(make: Make) -> None:
    reset = make(WorkerKind.SHARED, toy_envs.COUNTER, action_format="react").reset().result()
    assert reset.briefing.stop == ("\nObservation:",)


class Wavering(toy_envs.Counter):
    worker = WorkerKind.SHARED

    @classmethod
    def worker_for(cls, options: Mapping[str, Any]) -> WorkerKind:
        return WorkerKind.PROCESS if options.get("slow") else cls.worker


def test_where_environments_ask_to_live() -> None:
    assert worker_kind(toy_envs.MOODY) == WorkerKind.PROCESS
    assert worker_kind(toy_envs.COUNTER) == WorkerKind.THREAD
    assert worker_kind(gymnasium.Env) == WorkerKind.THREAD
    assert worker_kind(Wavering) == WorkerKind.SHARED
    assert worker_kind(Wavering, {"slow": True}) == WorkerKind.PROCESS
    assert make_worker(None, Wavering, {"slow": True}).kind == WorkerKind.PROCESS
    with pytest.raises(UnknownNameError, match="toy/Counter-v0"):
        make_worker(None, "toy/Couter-v0")


@pytest.mark.integration
def test_the_death_of_a_process_is_noticed_at_once(make: Make) -> None:
    worker = make(WorkerKind.PROCESS)
    pid = worker.reset().result().info["pid"]
    step = worker.step("sleep 20")
    time.sleep(0.05)
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(InfraError, match=rf"Moody.*process {pid} was killed by SIGKILL.*-9.*step"):
        step.result()
    assert time.monotonic() - began < 10
    assert worker.reset().result().info["pid"] != pid
    with pytest.raises(InfraError, match="ended with exit code 9 during step"):
        worker.step("die").result()


@pytest.mark.integration
def test_a_process_takes_along_what_it_started(make: Make) -> None:
    worker = make(WorkerKind.PROCESS, worker_envs.Spawning)
    child = worker.reset().result().info["child"]
    assert alive(child)
    with pytest.raises(TimeLimitError):
        worker.step("hang", timeout=0.1).result()
    wait_until(lambda: not alive(child))


@pytest.mark.integration
def test_a_process_sees_the_program_as_it_is_now(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_env.py").write_text(
        "import os, toy_envs\n"
        "class Late(toy_envs.Moody):\n"
        "    description = os.environ['LATE'] + os.getcwd()\n"
    )
    monkeypatch.setenv("LATE", "late ")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import late_env  # pyright: ignore[reportMissingImports]

    briefing = make(WorkerKind.PROCESS, late_env.Late).reset().result().briefing
    assert f"late {tmp_path}" in briefing.instructions


@pytest.mark.integration
def test_what_cannot_travel_is_said(make: Make) -> None:
    with pytest.raises(UsageError, match=r"can't be .*pickled"):
        make(WorkerKind.PROCESS, toy_envs.MOODY, action_format=lambda: None)
    worker = make(WorkerKind.PROCESS)
    worker.reset().result()
    with pytest.raises(EnvError, match="can't be sent"):
        worker.call("step", lambda: None).result()
    assert worker.step("x").result().observation["text"] == "x 1"
    with pytest.raises(EnvError, match="can't be sent"):
        make(WorkerKind.PROCESS, worker_envs.Unsendable).reset().result()


@pytest.mark.integration
def test_large_answers_travel_whole(make: Make) -> None:
    worker = make(WorkerKind.PROCESS)
    worker.reset().result()
    assert len(worker.step("big 3000000").result().observation["text"]) == 3_000_000
    assert worker.step("x" * 2_000_000).result().observation["text"].startswith("xxx")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
