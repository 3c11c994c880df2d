"""Rollouts: independent episodes, who is to blame for a failure, and repeatable results."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
import toy_envs
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_policies import Answers, LetterPolicy

from agentgym.backoff import Backoff
from agentgym.env import WorkerKind
from agentgym.episode_spec import episode_specs
from agentgym.errors import ConfigError, InfraError, PolicyError, UnknownNameError, UsageError
from agentgym.policy import Completion, FinishReason, Policy, Request, Sampling
from agentgym.progress import Display
from agentgym.rollout import Collector, EpisodeSpec, Interrupted, RolloutConfig, collect
from agentgym.spaces import Unicode
from agentgym.stop_reason import StopReason
from agentgym.trajectory import Trajectory


class Flaky(toy_envs.Moody):
    """Its first makings fail in a step; those after are well."""

    worker = WorkerKind.SHARED
    made: ClassVar[int] = 0

    def __init__(self, *, ill: int, fault: type[Exception] = InfraError, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        type(self).made += 1
        self.ill = type(self).made <= ill
        self.fault = fault

    def _act(self, calls: Any) -> Any:
        if self.ill:
            raise self.fault("it broke")
        return super()._act(calls)


@pytest.fixture(autouse=True)
def _fresh() -> None:  # pyright: ignore[reportUnusedFunction]
    Flaky.made = 0


def config(**kwargs: Any) -> RolloutConfig:
    quick = {"worker": "shared", "backoff": Backoff(first=0.001), "close_seconds": 2.0}
    return RolloutConfig.model_validate({**quick, **kwargs})


def moody(
    answer: Callable[[Request], str], specs: int | list[EpisodeSpec] = 1, **kwargs: Any
) -> list[Trajectory]:
    wanted = [EpisodeSpec() for _ in range(specs)] if isinstance(specs, int) else specs
    with Collector(toy_envs.MOODY, {}, Answers(answer), config(**kwargs)) as collector:
        return collector.collect(wanted)


def turn_of(request: Request) -> int:
    return request.info["turn"]


def test_what_a_trajectory_tells() -> None:
    policy = Answers(lambda request: "thinking" if turn_of(request) == 0 else "end")
    seen: list[Trajectory] = []
    kept: list[Trajectory] = []

    class Kept:
        def add(self, trajectory: Trajectory, /) -> None:
            kept.append(trajectory)

    spec = EpisodeSpec(task="mood", seed=3, group_id="g")
    with Collector(toy_envs.MOODY, {}, policy, config(), writer=Kept()) as collector:
        (trajectory,) = collector.collect([spec], seen.append)
    assert [t.id for t in seen] == [t.id for t in kept] == [trajectory.id]
    assert trajectory.env_id == "toy/Moody-v0"
    assert (trajectory.task_id, trajectory.goal) == ("mood", "Be in a mood.")
    assert (trajectory.seed, trajectory.group_id, trajectory.attempts) == (3, "g", 1)
    assert trajectory.stop_reason is StopReason.SUCCESS
    assert trajectory.success
    assert trajectory.reward == 1.0
    assert trajectory.instructions
    assert trajectory.meta["agentgym"]
    first, last = trajectory.turns
    assert first.observation.startswith("ready ")
    assert (first.action, last.observation, last.action) == ("thinking", "thinking 1", "end")
    assert trajectory.final_observation == "end 2"
    assert first.calls[0].arguments == {"what": "thinking"}
    assert (first.reward, last.reward, last.policy_version) == (0.0, 1.0, 7)
    assert 0 < first.step_seconds < trajectory.seconds
    assert trajectory.reset_seconds > 0
    assert abs(trajectory.started - time.time()) < 60
    assert len(policy.released) == 1
    messages = policy.requests[-1].messages
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]


def test_results_come_in_the_order_of_the_specs_each_at_its_own_pace() -> None:
    asked: list[str] = []
    ended: list[str] = []
    turns = [asyncio.Event() for _ in range(8)]

    class Backwards(Answers):
        """Answers whoever asked last, once all have asked, and the others as the one after ends."""

        async def generate(self, requests: Sequence[Request]) -> list[Completion]:
            mine = turns[len(asked)]
            asked.append(str(requests[0].messages[1]["content"]))
            if len(asked) == len(turns):
                mine.set()
            await mine.wait()
            return await super().generate(requests)

    def after(trajectory: Trajectory) -> None:
        ended.append(trajectory.turns[0].observation)
        if len(ended) < len(turns):
            turns[-1 - len(ended)].set()

    specs = [EpisodeSpec(seed=seed) for seed in range(len(turns))]
    with Collector(toy_envs.MOODY, {}, Backwards(lambda _: "end"), config()) as collector:
        results = collector.collect(specs, after)
    assert [t.seed for t in results] == list(range(8))
    assert ended == asked[::-1]


def test_256_episodes_at_once() -> None:
    policy = Answers(
        lambda request: "end" if turn_of(request) == 3 else "on",
        lambda request: 0.001 * (hash(request.episode) % 20),
    )
    with Collector(toy_envs.MOODY, {}, policy, config()) as collector:
        results = collector.collect([EpisodeSpec() for _ in range(256)])
    assert all(t.success and len(t.turns) == 4 for t in results)
    assert policy.most_running > 100
    assert len({t.id for t in results}) == 256


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(0, 99))
def test_the_same_seeds_give_the_same_episodes_whatever_the_timing(
    seed: int, concurrency: int, jitter: int
) -> None:
    def play(at_once: int, slow: int) -> list[Any]:
        def answer(request: Request) -> str:
            return f"<add>{(request.sampling.seed or 0) % 3}</add>"

        def delay(request: Request) -> float:
            return (hash(request.episode) * slow % 7) * 1e-4

        with Collector(
            toy_envs.COUNTER,
            {"action_format": "tags", "max_turns": 6},
            Answers(answer, delay),
            config(concurrency=at_once),
        ) as collector:
            specs = [EpisodeSpec(seed=None if i % 2 else i // 2) for i in range(6)]
            return [
                (t.task_id, t.seed, t.stop_reason, [(u.observation, u.action) for u in t.turns])
                for t in collector.collect(specs, seed=seed)
            ]

    assert play(6, 0) == play(concurrency, jitter)


def test_every_turn_samples_with_a_seed_of_its_own() -> None:
    def seeds(specs: list[EpisodeSpec], seed: int) -> list[int | None]:
        policy = Answers(lambda request: "end" if turn_of(request) == 2 else "on")
        with Collector(toy_envs.MOODY, {}, policy, config(concurrency=1)) as collector:
            collector.collect(specs, seed=seed)
        return [request.sampling.seed for request in policy.requests]

    group = [EpisodeSpec(task=0, seed=1), EpisodeSpec(task=0, seed=1)]
    first = seeds(group, 0)
    assert len(set(first)) == 6
    assert first == seeds(group, 0)
    assert not set(first) & set(seeds(group, 1))
    # A seed in the sampling belongs to the episode, wherever in the call it stands.
    own = [replace(spec, sampling=Sampling(seed=i)) for i, spec in enumerate(group)]
    assert seeds(own, 0) == seeds(own, 1)
    assert seeds(own[::-1], 0) == seeds(own, 0)[3:] + seeds(own, 0)[:3]


def test_an_infra_error_is_tried_again_on_a_fresh_worker() -> None:
    policy = Answers(lambda request: "end" if turn_of(request) else "on")
    with Collector(Flaky, {"ill": 2}, policy, config(retries=2)) as collector:
        (trajectory,) = collector.collect([EpisodeSpec(seed=5)])
        assert trajectory.stop_reason is StopReason.SUCCESS
        assert trajectory.attempts == 3
        assert trajectory.error is None
        assert trajectory.meta["faults"] == ["step: InfraError: it broke"] * 2
        assert Flaky.made == 3
    # The retries asked what the first try asked, and the policy could tell them apart.
    firsts = [request for request in policy.requests if turn_of(request) == 0]
    assert len({request.sampling.seed for request in firsts}) == 1
    assert len({request.episode for request in firsts}) == 3


def test_an_infra_error_that_stays_is_recorded() -> None:
    with Collector(Flaky, {"ill": 99}, Answers(lambda _: "on"), config(retries=1)) as collector:
        (trajectory,) = collector.collect([EpisodeSpec()])
    assert trajectory.stop_reason is StopReason.INFRA_ERROR
    assert not trajectory.trainable
    assert trajectory.attempts == Flaky.made == 2
    assert trajectory.error == "step: InfraError: it broke"
    assert [turn.action for turn in trajectory.turns] == ["on"]


def test_a_bug_in_the_environment_is_not_tried_again_but_its_worker_is_replaced() -> None:
    arguments = {"ill": 1, "fault": RuntimeError}
    with Collector(Flaky, arguments, Answers(lambda _: "end"), config(concurrency=1)) as collector:
        first, second = collector.collect([EpisodeSpec(), EpisodeSpec()])
    assert first.stop_reason is StopReason.ENV_ERROR
    assert "RuntimeError: it broke" in (first.error or "")
    assert first.attempts == 1
    assert second.success


def test_a_reset_that_fails_is_infra_too() -> None:
    (trajectory,) = moody(lambda _: "end", [EpisodeSpec(options={"fail": True})], retries=1)
    assert trajectory.stop_reason is StopReason.INFRA_ERROR
    assert trajectory.error == "reset: InfraError: no mood could be had"
    assert trajectory.attempts == 2
    assert trajectory.turns == []


@pytest.mark.parametrize("fault", [PolicyError("no more"), ValueError("no more"), TimeoutError()])
def test_a_policy_that_raises_ends_its_episode_only(fault: Exception) -> None:
    def answer(request: Request) -> str:
        if turn_of(request) == 1 and request.info["parity"] == "odd":
            raise fault
        return "<add>1</add>"

    with Collector(
        toy_envs.COUNTER,
        {"action_format": "tags", "max_turns": 3},
        Answers(answer),
        config(concurrency=1),
    ) as collector:
        results = collector.collect([EpisodeSpec(seed=seed) for seed in range(12)])
    failed = [t for t in results if t.stop_reason is StopReason.POLICY_ERROR]
    assert 0 < len(failed) < len(results)
    assert all(type(fault).__name__ in (t.error or "") and t.attempts == 1 for t in failed)
    others = {t.stop_reason for t in results} - {StopReason.POLICY_ERROR}
    assert others <= {StopReason.TURN_LIMIT, StopReason.SUCCESS}


def test_a_policy_that_hangs_runs_into_its_limit() -> None:
    began = time.monotonic()
    policy = Answers(lambda _: "end", lambda _: 60)
    with Collector(
        toy_envs.MOODY, {}, policy, config(generate_seconds=0.05, retries=1)
    ) as collector:
        (trajectory,) = collector.collect([EpisodeSpec()])
    assert time.monotonic() - began < 20
    assert trajectory.stop_reason is StopReason.INFRA_ERROR
    assert trajectory.error == (
        "generate: TimeLimitError: generate of Answers took longer than its limit of 0.05 s"
    )
    assert trajectory.attempts == 2
    assert trajectory.seconds >= 0.05  # what failed took its time, too


def test_an_environment_that_hangs_runs_into_its_limit() -> None:
    results = moody(
        lambda request: "hang" if request.info["pid"] and turn_of(request) == 1 else "on",
        step_seconds=0.1,
        retries=1,
        worker="thread",
    )
    assert results[0].stop_reason is StopReason.INFRA_ERROR
    assert "step of toy/Moody-v0 in thread worker" in (results[0].error or "")


def test_failures_do_not_disturb_the_others() -> None:
    def play(commands: list[str]) -> dict[str, list[Any]]:
        def answer(request: Request) -> str:
            mood = commands[int(str(request.messages[1]["content"]).split()[-1])]
            return mood if turn_of(request) == 1 else "end" if turn_of(request) == 3 else "on"

        class Numbered(toy_envs.Moody):
            def _begin(self, task: Any, options: Any) -> Any:
                return replace(super()._begin(task, options), text=f"ready {options['number']}")

        specs = [EpisodeSpec(seed=0, options={"number": i}) for i in range(len(commands))]
        settings = config(step_seconds=1.0, retries=0)
        with Collector(Numbered, {}, Answers(answer), settings) as collector:
            results = collector.collect(specs)
        return {
            command: [t.stop_reason, [turn.observation for turn in t.turns]]
            for command, t in zip(commands, results, strict=True)
        }

    quiet = [f"fine{i}" for i in range(20)]
    alone = play(quiet)
    mixed = play([*quiet, "hang", "raise", "infra", "sleep 0.1"])
    assert {command: mixed[command] for command in quiet} == alone
    assert mixed["hang"][0] is StopReason.INFRA_ERROR
    assert mixed["infra"][0] is StopReason.INFRA_ERROR
    assert mixed["raise"][0] is StopReason.ENV_ERROR
    assert mixed["sleep 0.1"][0] is StopReason.SUCCESS


def test_the_callers_mistakes_are_raised_and_what_was_finished_is_kept() -> None:
    with Collector(
        toy_envs.MOODY, {}, Answers(lambda _: "end"), config(concurrency=1)
    ) as collector:
        with pytest.raises(UnknownNameError, match="moo"):
            collector.collect([EpisodeSpec(), EpisodeSpec(task="moo"), EpisodeSpec()])
        assert len(collector.finished) == 1
        assert len(collector.collect([EpisodeSpec()] * 3)) == 3
    with pytest.raises(UnknownNameError, match="toy/Moody-v0"):
        Collector("toy/Mody-v0", {}, Answers(lambda _: "end"))
    with pytest.raises(UsageError, match="no option of toy/Moody-v0 'moods'"):
        collect(
            toy_envs.MOODY, Answers(lambda _: "end"), 1, env_kwargs={"moods": 3}, config=config()
        )


def test_environments_are_kept_warm() -> None:
    with Collector(Flaky, {"ill": 0}, Answers(lambda _: "end"), config(concurrency=3)) as collector:
        for step in range(4):
            collector.collect([EpisodeSpec() for _ in range(9)], seed=step)
        assert collector.collect([]) == collector.finished == []
    assert Flaky.made == 3


def test_the_expert_that_a_policy_wants_is_asked_for() -> None:
    policy = Answers(lambda request: request.info["expert_action"], wants_expert="slow")
    (trajectory,) = collect(
        toy_envs.COUNTER,
        policy,
        1,
        env_kwargs={"action_format": "tags"},
        config=config(),
        display=Display.OFF,
    )
    assert trajectory.success


def test_limits_on_turns() -> None:
    (trajectory,) = moody(lambda _: "on", max_turns=3)
    assert trajectory.stop_reason is StopReason.TURN_LIMIT
    assert len(trajectory.turns) == 3


def letters(context_length: int | None = None, **kwargs: Any) -> tuple[LetterPolicy, Trajectory]:
    policy = LetterPolicy(lambda request: "abcd", context_length)
    sampling = Sampling(max_tokens=8)
    with Collector(toy_envs.MOODY, {"instructions": "?"}, policy, config(**kwargs)) as collector:
        return policy, collector.collect([EpisodeSpec(seed=1, sampling=sampling)])[0]


def test_the_ids_of_a_trajectory_are_those_that_were_sampled() -> None:
    policy, trajectory = letters(max_turns=3)
    (sequence,) = trajectory.sequences()
    text = "".join(chr(i) if i else "$" for i in sequence.ids)
    ready = trajectory.turns[0].observation
    assert text == f"?|{ready}abcd$|abcd 1|abcd$|abcd 2|abcd$"
    assert sequence.mask.sum() == 15
    assert "".join(map(chr, trajectory.final_ids)) == "|abcd 3|"
    for request, end in zip(policy.requests, np.cumsum([len(f"?|{ready}"), 13, 13]), strict=True):
        np.testing.assert_array_equal(request.prompt_ids, sequence.ids[:end])


@pytest.mark.parametrize("limit", ["context_length", "max_tokens"])
def test_limits_on_tokens_end_an_episode_before_sampling(limit: str) -> None:
    _, whole = letters(max_turns=3)
    first = len(whole.turns[0].prompt_ids)

    def ends(room: int) -> tuple[StopReason, list[int], FinishReason]:
        _, trajectory = letters(max_turns=3, **{limit: room})
        lengths = [len(turn.completion_ids) for turn in trajectory.turns]
        assert sum(len(s) for s in trajectory.sequences()) <= room
        return trajectory.stop_reason, lengths, trajectory.turns[-1].finish

    # Room for two answers and a prompt, and for none of the third.
    assert ends(first + 5 + 8 + 5 + 8) == (StopReason.TOKEN_LIMIT, [5, 5], FinishReason.STOP)
    # One id more is an answer of one id, cut by its length, and an action nevertheless.
    assert ends(first + 5 + 8 + 5 + 8 + 1) == (
        StopReason.TURN_LIMIT,
        [5, 5, 1],
        FinishReason.LENGTH,
    )
    _, none = letters(**{limit: first})
    assert (none.stop_reason, none.turns) == (StopReason.TOKEN_LIMIT, [])
    assert len(none.final_ids) == first


def test_the_template_shows_tools_where_the_model_calls_them_as_templates_ask() -> None:
    policy = LetterPolicy(lambda request: "x")
    arguments = {"action_format": "tool_call", "max_turns": 1, "instructions": "?"}
    with Collector(toy_envs.MOODY, arguments, policy, config()) as collector:
        (trajectory,) = collector.collect([EpisodeSpec()])
    assert "".join(map(chr, trajectory.turns[0].prompt_ids)).startswith("do|?|ready")
    assert [tool["function"]["name"] for tool in trajectory.tools] == ["do"]
    assert trajectory.turns[0].action_error


class Foreign(gymnasium.Env[str, str]):
    """An environment that knows nothing of agentgym."""

    observation_space = Unicode()
    action_space = Unicode()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        return "say it", {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        return "you said it", float(action == "please"), action != "wait", action == "wait", {}


def test_a_foreign_environment() -> None:
    with Collector(Foreign, {}, Answers(lambda _: "please"), config()) as collector:
        (trajectory,) = collector.collect([EpisodeSpec()])
    assert trajectory.env_id == "Foreign"
    assert trajectory.stop_reason is StopReason.SUCCESS
    assert trajectory.success


@pytest.mark.parametrize("fault", [InfraError("out"), PolicyError("no verdict")])
def test_an_episode_whose_scoring_failed_is_no_success(fault: Exception) -> None:
    async def score(trajectory: Trajectory) -> None:
        assert trajectory.success
        raise fault

    policy = Answers(lambda _: "end")
    with Collector(toy_envs.MOODY, {}, policy, config(retries=0), score=score) as collector:
        (trajectory,) = collector.collect([EpisodeSpec()])
    assert not trajectory.stop_reason.trainable
    assert not trajectory.success


def test_scores_are_part_of_the_episode() -> None:
    tries = 0

    async def score(trajectory: Trajectory) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise InfraError("the judge is out")
        trajectory.turns[-1].reward += 0.5

    policy = Answers(lambda _: "end")
    with Collector(Flaky, {"ill": 0}, policy, config(), score=score) as collector:
        (trajectory,) = collector.collect([EpisodeSpec()])
    assert trajectory.reward == 1.5
    assert trajectory.attempts == 2
    assert Flaky.made == 1

    async def never(_: Trajectory) -> None:
        await asyncio.sleep(60)

    settings = config(score_seconds=0.02, retries=0)
    with Collector(toy_envs.MOODY, {}, policy, settings, score=never) as collector:
        (trajectory,) = collector.collect([EpisodeSpec()])
    assert trajectory.stop_reason is StopReason.INFRA_ERROR
    assert "score of toy/Moody-v0 took longer" in (trajectory.error or "")


def test_stages_are_bounded_one_by_one() -> None:
    policy = Answers(lambda _: "end", lambda _: 0.002)
    policy.crowd = 2
    with Collector(toy_envs.MOODY, {}, policy, config(generate_concurrency=2)) as collector:
        collector.collect([EpisodeSpec() for _ in range(20)])
    assert policy.most_running == 2


def test_no_more_episodes_run_than_the_policy_serves_well() -> None:
    policy = Answers(lambda _: "end", lambda _: 0.002)
    policy.episodes_at_once = 3
    for wanted, running in ((None, 3), (5, 5)):
        policy.most_running, policy.crowd = 0, running
        with Collector(toy_envs.MOODY, {}, policy, config(concurrency=wanted)) as collector:
            collector.collect([EpisodeSpec() for _ in range(20)])
        assert policy.most_running == running


def test_a_cancelled_collection_keeps_what_is_finished_and_lets_go() -> None:
    closed: list[bool] = []
    made: list[bool] = []

    class Closing(toy_envs.Moody):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            made.append(True)

        def _release(self) -> None:
            closed.append(True)

    async def body() -> None:
        policy = Answers(lambda _: "end")
        policy.delay = lambda _: 0.0 if len(policy.requests) <= 3 else 60.0
        three = asyncio.Event()

        def count(_: Trajectory) -> None:
            if len(collector.finished) == 3:
                three.set()

        async with Collector(Closing, {}, policy, config(worker="thread")) as collector:
            specs = [EpisodeSpec() for _ in range(9)]
            task = asyncio.create_task(collector.gather(specs, count))
            await three.wait()
            began = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - began < 20
            assert len(collector.finished) == 3
            assert policy.running == 0

    asyncio.run(asyncio.wait_for(body(), 20))
    # A cancelled episode may have been cancelled before its environment was made.
    assert len(made) >= 3
    assert len(closed) == len(made)


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[Callable[[], bool]], None]]:
    """Presses Ctrl-C as soon as something holds."""
    # A shell that starts us in the background has us ignore Ctrl-C, and asyncio then does too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    over = threading.Event()
    fingers: list[threading.Thread] = []

    def once(holds: Callable[[], bool]) -> None:
        def press() -> None:
            while not holds():
                if over.wait(0.01):
                    return
            os.kill(os.getpid(), signal.SIGINT)

        fingers.append(threading.Thread(target=press))
        fingers[-1].start()

    yield once
    over.set()
    for finger in fingers:
        finger.join()
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_keeps_what_is_finished(ctrl_c: Callable[[Callable[[], bool]], None]) -> None:
    policy = Answers(lambda _: "end")
    policy.delay = lambda _: 0.0 if len(policy.requests) <= 5 else 60.0
    kept: list[Trajectory] = []

    class Kept:
        def add(self, trajectory: Trajectory, /) -> None:
            kept.append(trajectory)

    began = time.monotonic()
    with Collector(toy_envs.MOODY, {}, policy, config(), writer=Kept()) as collector:
        ctrl_c(lambda: len(kept) == 5)
        with pytest.raises(Interrupted) as stop:
            collector.collect([EpisodeSpec(seed=i) for i in range(20)])
        assert [t.seed for t in stop.value.finished] == [0, 1, 2, 3, 4]
        assert [t.id for t in kept] == [t.id for t in stop.value.finished]
        # It can go on.
        policy.delay = None
        assert len(collector.collect([EpisodeSpec()])) == 1
    assert time.monotonic() - began < 20


class Stubborn(Answers):
    """Can't be cancelled."""

    asked = refused = 0

    async def generate(self, requests: Any) -> list[Completion]:
        self.asked += 1
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.refused += 1


def test_a_policy_that_does_not_let_go_is_left_behind(
    ctrl_c: Callable[[Callable[[], bool]], None],
) -> None:
    began = time.monotonic()
    policy = Stubborn(lambda _: "")
    ctrl_c(lambda: policy.asked == 3)
    with (
        pytest.raises(Interrupted),
        Collector(toy_envs.MOODY, {}, policy, config(close_seconds=0.2)) as one,
    ):
        one.collect([EpisodeSpec() for _ in range(3)])
    assert policy.refused >= 3
    assert time.monotonic() - began < 20


def test_a_second_ctrl_c_waits_for_nothing(ctrl_c: Callable[[Callable[[], bool]], None]) -> None:
    began = time.monotonic()
    policy = Stubborn(lambda _: "")
    ctrl_c(lambda: policy.asked == 3)
    ctrl_c(lambda: policy.refused == 3)
    settings = config(close_seconds=60, worker="thread")
    with (
        pytest.raises(Interrupted),
        Collector(toy_envs.MOODY, {}, policy, settings) as collector,
    ):
        collector.collect([EpisodeSpec() for _ in range(3)])
    assert policy.refused == 3
    assert time.monotonic() - began < 20


def test_specs_of_groups() -> None:
    specs = episode_specs(6, tasks=[4, 5], seed=10, group_size=2)
    assert [spec.task for spec in specs] == [4, 4, 5, 5, 4, 4]
    assert [spec.seed for spec in specs] == [10, 10, 11, 11, 12, 12]
    assert len({spec.group_id for spec in specs}) == 3
    assert {spec.group_id for spec in episode_specs(3)} == {""}
    with pytest.raises(UsageError):
        episode_specs(1, tasks=[])
    with pytest.raises(UsageError, match="seed is 0 or more, got -1"):
        episode_specs(1, seed=-1)
    with pytest.raises(UsageError, match="group_size must be 1 or more, got 0"):
        episode_specs(1, group_size=0)


def test_inside_a_running_loop_the_plain_form_says_what_to_do() -> None:
    async def body() -> None:
        collector = Collector(toy_envs.MOODY, {}, Answers(lambda _: "end"), config())
        with pytest.raises(UsageError, match=r"await collector\.gather"):
            collector.collect([EpisodeSpec()])
        await collector.aclose()

    asyncio.run(body())


def test_unknown_settings_are_errors() -> None:
    from agentgym.config import validate

    with pytest.raises(ConfigError, match="did you mean 'retries'"):
        validate(RolloutConfig, {"retrys": 1})
    with pytest.raises(ConfigError, match="generate_concurrency must be left out"):
        validate(RolloutConfig, {"deterministic": True, "generate_concurrency": 4})


def test_a_policy_here_is_a_policy() -> None:
    policies: list[Policy] = [Answers(lambda _: ""), LetterPolicy(lambda _: "")]
    assert len(policies) == 2


@pytest.mark.integration
def test_kill_9_in_the_middle_of_an_episode_costs_an_attempt() -> None:
    killed: list[int] = []

    def answer(request: Request) -> str:
        if turn_of(request) == 1 and len(killed) < 2:
            killed.append(request.info["pid"])
            os.kill(killed[-1], signal.SIGKILL)
        return "end" if turn_of(request) == 3 else "on"

    results = moody(answer, 6, worker="process", concurrency=3)
    assert all(t.success for t in results)
    assert sum(t.attempts for t in results) == 8
    faults = [fault for t in results for fault in t.meta.get("faults", [])]
    assert len(faults) == 2
    assert all("was killed by SIGKILL" in fault for fault in faults)


@pytest.mark.integration
@pytest.mark.parametrize("mood", ["die", "hang", "raise"])
def test_failing_processes(mood: str) -> None:
    def answer(request: Request) -> str:
        return mood if turn_of(request) == 1 else "end" if turn_of(request) == 2 else "on"

    (trajectory,) = moody(answer, worker="process", retries=1, step_seconds=0.5)
    env_error = mood == "raise"
    expected = StopReason.ENV_ERROR if env_error else StopReason.INFRA_ERROR
    assert trajectory.stop_reason is expected
    assert trajectory.attempts == (1 if env_error else 2)
