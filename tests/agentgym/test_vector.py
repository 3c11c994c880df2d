"""The vector environment: Gymnasium's batches, independent members, and members that fail."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import toy_envs
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

import agentgym
from agentgym._batch_info import batch_infos
from agentgym.backoff import Backoff
from agentgym.conformance.resources import Holdings
from agentgym.errors import (
    EnvError,
    EpisodeStateError,
    InfraError,
    TimeLimitError,
    UnknownNameError,
    UsageError,
)
from agentgym.stop_reason import StopReason
from agentgym.vector import AgentVectorEnv
from agentgym.wrappers import HistoryWindow, TurnLimit

MODES = list(AutoresetMode)
FAST = Backoff(first=0.01)
process = pytest.param("process", marks=pytest.mark.integration)


@pytest.fixture
def make() -> Iterator[Callable[..., AgentVectorEnv]]:
    made: list[AgentVectorEnv] = []

    def make(env_id: str = toy_envs.MOODY, num_envs: int = 3, **kwargs: Any) -> AgentVectorEnv:
        made.append(agentgym.make_vec(env_id, num_envs, **{"backoff": FAST, **kwargs}))
        return made[-1]

    yield make
    for envs in made:
        envs.close()


def same(ours: Any, theirs: Any) -> bool:
    """Whether two batches (observations or infos) hold the same."""
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[k], theirs[k]) for k in theirs)
    if isinstance(theirs, np.ndarray):
        return ours.shape == theirs.shape and all(
            same(a, b) for a, b in zip(ours.flat, theirs.flat, strict=True)
        )
    return bool(ours == theirs)


# Beside the peer


@settings(max_examples=15)
@given(
    st.lists(st.lists(st.sampled_from(["1", "2", "5", "no"]), min_size=3, max_size=3), max_size=8),
    st.integers(0, 2**31),
    st.sampled_from(MODES),
    st.booleans(),
)
def test_batches_are_those_of_gymnasiums_own(
    actions: list[list[str]], seed: int, mode: AutoresetMode, visual: bool
) -> None:
    one = partial(agentgym.make, toy_envs.COUNTER, visual=visual, max_turns=4)
    theirs: Any = SyncVectorEnv([one] * 3, autoreset_mode=mode)
    ours = agentgym.make_vec(
        toy_envs.COUNTER, 3, worker="shared", autoreset_mode=mode, visual=visual, max_turns=4
    )
    try:
        assert ours.observation_space == theirs.observation_space
        assert ours.action_space == theirs.action_space
        pairs = [(ours.reset(seed=seed), theirs.reset(seed=seed))]
        for batch in actions:
            step, peer = ours.step(batch), theirs.step(tuple(batch))
            pairs.append((step, peer))
            ended = step[2] | step[3]
            if mode is AutoresetMode.DISABLED and ended.any():
                pairs.append(
                    tuple(e.reset(options={"reset_mask": ended.copy()}) for e in (ours, theirs))
                )
        for step, peer in pairs:
            assert step[0] in ours.observation_space
            assert len(step) == len(peer)
            assert all(same(a, b) for a, b in zip(step, peer, strict=True)), (step, peer)
    finally:
        ours.close()
        theirs.close()


# Batches


@pytest.mark.parametrize("worker", ["thread", "shared", process])
def test_texts_of_any_script_and_images_are_carried(make: Any, worker: str) -> None:
    envs = make(toy_envs.COUNTER, 2, worker=worker, visual=True, action_format="tags")
    observations, _ = envs.reset(seed=0)
    assert observations["image"].shape == (2, 4, 6, 3)
    assert observations["image"].dtype == np.uint8
    observations, *_ = envs.step(["<say>戸棚 🙂 \ud800</say>", "<say>" + "ä" * 10**6 + "</say>"])
    assert observations["text"] == ("You said: 戸棚 🙂 \ud800", "You said: " + "ä" * 10**6)
    assert observations in envs.observation_space
    kept = observations["image"].copy()
    envs.step(["<add>1</add>"] * 2)
    assert np.array_equal(observations["image"], kept)


@pytest.mark.parametrize("worker", ["thread", process])
def test_member_i_is_seeded_with_seed_plus_i(make: Any, worker: str) -> None:
    envs = make(worker=worker)
    observations, _ = envs.reset(seed=7)
    alone = agentgym.make(toy_envs.MOODY)
    assert observations["text"] == tuple(alone.reset(seed=7 + i)[0]["text"] for i in range(3))
    assert envs.reset(seed=[9, 8, 7])[0]["text"][2] == observations["text"][0]


def test_a_mask_resets_some_members(make: Any) -> None:
    envs = make(autoreset_mode="Disabled")
    envs.reset(seed=0)
    envs.step(["end", "b", "c"])
    with pytest.raises(EpisodeStateError, match="member 0 ended: reset it first"):
        envs.step(["a", "b", "c"])
    mask = np.array([True, False, False])
    observations, infos = envs.reset(options={"reset_mask": mask})
    assert observations["text"][1:] == ("b 1", "c 1")
    assert infos["_turn"].tolist() == mask.tolist()
    assert envs.step(["a", "b", "c"])[0]["text"] == ("a 1", "b 2", "c 2")
    for wrong in (np.zeros(3, bool), np.ones(2, bool), np.ones(3)):
        with pytest.raises(UsageError, match="reset_mask"):
            envs.reset(options={"reset_mask": wrong})


def test_options_reach_every_member(make: Any) -> None:
    envs = make(toy_envs.COUNTER, 2, worker="shared")
    envs.reset(seed=0, options={"task": "goal-5"})
    assert [task.id for task in envs.call("task")] == ["goal-5", "goal-5"]
    with pytest.raises(UnknownNameError, match="goal-55"):
        envs.reset(seed=0, options={"task": "goal-55"})
    envs.reset(seed=0)
    envs.step(["1", "1"])


@pytest.mark.parametrize("worker", ["shared", process])
def test_wrappers_are_put_on_every_member(make: Any, worker: str) -> None:
    wrappers = [partial(TurnLimit, max_turns=1), partial(HistoryWindow, turns=3)]
    envs = make(worker=worker, wrappers=wrappers)
    envs.reset(seed=0)
    observations, _, _, truncations, infos = envs.step(["hello"] * 3)
    assert truncations.all()
    assert infos["stop_reason"][0] is StopReason.TURN_LIMIT
    assert observations["text"][0].endswith("Action: hello\nObservation: hello 1")


def test_rendering_gives_a_frame_a_member(make: Any) -> None:
    envs = make(toy_envs.COUNTER, 2, render_mode="rgb_array")
    envs.reset(seed=0)
    assert [frame.shape for frame in envs.render()] == [(4, 6, 3)] * 2
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert envs.metadata["render_modes"] == ["ansi", "rgb_array"]
    assert envs.spec.id == toy_envs.COUNTER


# Independent members


@pytest.mark.parametrize("worker", ["thread", process])
def test_no_member_waits_for_another(make: Any, worker: str) -> None:
    envs = make(worker=worker)
    envs.reset(seed=0)
    envs.send(0, "sleep 0.6")
    got: list[str] = []
    for _ in range(5):
        envs.send(1, "quick")
        member, outcome = envs.recv(timeout=30)
        assert member == 1
        got.append(outcome.observation["text"])
    assert got == [f"quick {i}" for i in range(1, 6)]
    member, outcome = envs.recv(timeout=30)
    assert (member, outcome.observation["text"]) == (0, "sleep 1")


def test_a_member_begins_its_next_episode_by_itself(make: Any) -> None:
    envs = make(num_envs=1)
    envs.reset(seed=0)
    envs.send(0, "end")
    assert envs.recv(30)[1].terminated
    envs.send(0, "ignored")
    outcome = envs.recv(30)[1]
    assert outcome.observation["text"].startswith("ready")
    assert (outcome.reward, outcome.terminated, outcome.info["turn"]) == (0.0, False, 0)
    envs.send_reset(0, seed=5)
    again = envs.recv(30)[1].observation
    envs.send_reset(0, seed=5)
    assert envs.recv(30)[1].observation == again


def test_receiving_takes_no_longer_than_it_may(make: Any) -> None:
    envs = make(num_envs=1)
    envs.reset(seed=0)
    with pytest.raises(EpisodeStateError, match="Nothing to receive"):
        envs.recv()
    envs.send(0, "sleep 0.3")
    with pytest.raises(TimeLimitError, match="recv"):
        envs.recv(timeout=0.02)
    for call in (
        lambda: envs.send(0, "more"),
        lambda: envs.send_reset(0),
        lambda: envs.step(["more"]),
        lambda: envs.reset(),
        lambda: envs.render(),
    ):
        with pytest.raises(EpisodeStateError):
            call()
    assert envs.recv(timeout=30)[1].observation["text"] == "sleep 1"


def test_callers_mistakes_touch_no_member(make: Any) -> None:
    envs = make(num_envs=2)
    with pytest.raises(EpisodeStateError, match="never reset"):
        envs.step(["a", "b"])
    envs.reset(seed=0)
    for actions in (["a"], "ab", ["a", 3], ["a", "b", "c"]):
        with pytest.raises(UsageError):
            envs.step(actions)
    for member in (-1, 2):
        with pytest.raises(UsageError, match="numbered 0 to 1"):
            envs.send(member, "a")
    with pytest.raises(UsageError, match="An action is a str"):
        envs.send(0, None)
    with pytest.raises(UsageError, match="seeds"):
        envs.reset(seed=[1, 2, 3])
    assert envs.step(["a", "b"])[0]["text"] == ("a 1", "b 1")


def test_arguments_are_checked() -> None:
    for wrong, match in (
        ({"num_envs": 0}, "num_envs"),
        ({"worker": "proces"}, "did you mean 'process'"),
        ({"autoreset_mode": "NextStop"}, "did you mean 'NextStep'"),
        ({"reset_attempts": 0}, "reset_attempts"),
        ({"colour": "red"}, "colour"),
    ):
        with pytest.raises(UsageError, match=match):
            agentgym.make_vec(toy_envs.MOODY, **{"num_envs": 1, "worker": "thread", **wrong})
    with pytest.raises(UnknownNameError):
        agentgym.make_vec("toy/Mody-v0", 1)


# Members that fail


def lost(info: dict[str, Any]) -> tuple[str, str]:
    return info["stop_reason"], info["error"]


@pytest.mark.integration
def test_a_killed_process_ends_its_own_episode_only(make: Any) -> None:
    envs = make(worker="process")
    _, infos = envs.reset(seed=0)
    pids = infos["pid"].tolist()
    envs.step(["a"] * 3)
    os.kill(pids[1], signal.SIGKILL)
    observations, rewards, terminations, truncations, infos = envs.step(["b"] * 3)
    assert observations["text"] == ("b 2", "a 1", "b 2")
    assert observations in envs.observation_space
    assert rewards.tolist() == [0.0] * 3
    assert (terminations.any(), truncations.tolist()) == (False, [False, True, False])
    assert infos["stop_reason"].tolist() == [None, StopReason.INFRA_ERROR, None]
    assert infos["_error"].tolist() == [False, True, False]
    assert "SIGKILL" in infos["error"][1]
    observations, *_, infos = envs.step(["c"] * 3)
    assert observations["text"][1].startswith("ready")
    assert infos["pid"][[0, 2]].tolist() == [pids[0], pids[2]]
    assert infos["pid"][1] not in pids
    assert envs.step(["d"] * 3)[0]["text"] == ("d 4", "d 1", "d 4")


@pytest.mark.integration
def test_a_process_killed_in_the_middle_of_a_step_is_noticed_at_once(make: Any) -> None:
    envs = make(worker="process", num_envs=2, step_timeout=60)
    _, infos = envs.reset(seed=0)
    envs.send(0, "hang")
    envs.send(1, "sleep 0.2")
    assert envs.recv(30)[0] == 1
    os.kill(infos["pid"][0], signal.SIGKILL)
    member, outcome = envs.recv(timeout=20)
    assert (member, outcome.truncated) == (0, True)
    assert outcome.info["stop_reason"] is StopReason.INFRA_ERROR
    assert isinstance(outcome.fault, InfraError)


@pytest.mark.parametrize("worker", ["thread", process])
@pytest.mark.parametrize("mode", MODES)
def test_a_hang_an_exception_and_a_lost_resource(make: Any, worker: str, mode: Any) -> None:
    envs = make(worker=worker, num_envs=4, step_timeout=0.5, autoreset_mode=mode)
    envs.reset(seed=0)
    first = envs.step(["a"] * 4)[0]["text"]
    began = time.monotonic()
    observations, _, terminations, truncations, infos = envs.step(["hang", "raise", "infra", "b"])
    assert time.monotonic() - began < 20
    assert truncations.tolist() == [True, True, True, False]
    assert not terminations.any()
    ends = infos
    if mode is AutoresetMode.SAME_STEP:
        ends = infos["final_info"]
        assert [seen and seen["text"] for seen in infos["final_obs"]] == [*first[:3], None]
        assert all(text.startswith("ready") for text in observations["text"][:3])
    else:
        assert observations["text"][:3] == first[:3]
    assert ends["stop_reason"].tolist()[:3] == [
        StopReason.INFRA_ERROR,
        StopReason.ENV_ERROR,
        StopReason.INFRA_ERROR,
    ]
    for said, error in zip(
        ("took longer than its limit of 0.5 s", "a bug in the world", "the world went away"),
        ends["error"],
        strict=False,
    ):
        assert said in error
    if mode is AutoresetMode.DISABLED:
        envs.reset(options={"reset_mask": truncations})
    elif mode is AutoresetMode.NEXT_STEP:
        assert envs.step(["x", "x", "x", "c"])[0]["text"][3] == "c 3"
    assert [t.split()[0] for t in envs.step(["e", "f", "g", "h"])[0]["text"]] == list("efgh")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("worker", "command"),
    [
        ("thread", "infra"),
        ("thread", "hang"),
        pytest.param("process", "die", marks=pytest.mark.integration),
        pytest.param("process", "hang", marks=pytest.mark.integration),
    ],
)
def test_a_call_that_loses_a_member_ends_its_episode_only(
    make: Any, worker: str, command: str, mode: Any
) -> None:
    envs = make(worker=worker, step_timeout=1.0, autoreset_mode=mode)
    envs.reset(seed=0)
    envs.step(["a", f"later {command}", "later sleep 0.2"])
    with pytest.raises(InfraError):
        envs.call("do_later")
    assert len(envs.call("instructions")) == 3
    observations, _, _, truncations, infos = envs.step(["b"] * 3)
    assert [observations["text"][i] for i in (0, 2)] == ["b 3", "b 3"]
    assert truncations.tolist() == [False, True, False]
    ends = infos["final_info"] if mode is AutoresetMode.SAME_STEP else infos
    assert ends["stop_reason"][1] is StopReason.INFRA_ERROR
    assert ends["error"][1]
    if mode is AutoresetMode.DISABLED:
        envs.reset(options={"reset_mask": truncations})
    elif mode is AutoresetMode.NEXT_STEP:
        assert envs.step(["c"] * 3)[0]["text"][1].startswith("ready")
    assert envs.step(["d"] * 3)[0]["text"][1] == "d 1"


def test_a_call_that_raises_leaves_every_episode_running(make: Any) -> None:
    envs = make(worker="thread")
    envs.reset(seed=0)
    envs.step(["later raise", "later sleep 0.3", "a"])
    for name, match in (("do_later", "a bug in the world"), ("no_such_thing", "no_such_thing")):
        with pytest.raises(EnvError, match=match):
            envs.call(name)
    assert envs.step(["b"] * 3)[0]["text"] == ("b 3", "b 3", "b 3")


def test_a_lost_member_may_be_reset_at_once(make: Any) -> None:
    envs = make(num_envs=2, worker="thread")
    envs.reset(seed=0)
    envs.step(["later infra", "a"])
    with pytest.raises(InfraError, match="the world went away"):
        envs.call("do_later")
    envs.reset(seed=0)
    observations, _, _, truncations, _ = envs.step(["b"] * 2)
    assert (observations["text"], truncations.any()) == (("b 1", "b 1"), False)


@pytest.mark.parametrize("wrong", ["killed", "busy"])
def test_a_worker_that_refuses_a_turn_is_a_failed_member(make: Any, wrong: str) -> None:
    envs = make(worker="thread")
    envs.reset(seed=0)
    envs.step(["a", "later sleep 0.5", "a"])
    worker = envs._members[1].worker
    if wrong == "killed":
        worker.kill()
    else:
        worker.call("do_later")  # what a call that Ctrl-C cut short leaves behind
    observations, _, _, truncations, infos = envs.step(["b"] * 3)
    assert observations["text"][::2] == ("b 2", "b 2")
    assert truncations.tolist() == [False, True, False]
    assert infos["stop_reason"][1] is StopReason.INFRA_ERROR
    assert wrong in infos["error"][1]
    assert envs.step(["c"] * 3)[0]["text"][1].startswith("ready")


def test_a_replacement_is_seeded_from_what_it_replaces(make: Any) -> None:
    def replaced() -> list[str]:
        envs = make(num_envs=1, worker="thread")
        texts = [envs.reset(seed=3)[0]["text"][0]]
        for _ in range(2):
            envs.step(["raise"])
            texts.append(envs.step([""])[0]["text"][0])
        return texts

    texts = replaced()
    assert len(set(texts)) == 3
    assert replaced() == texts


def test_a_reset_is_tried_again_on_fresh_members(make: Any, monkeypatch: Any) -> None:
    tries: list[int] = []

    def begin(self: Any, task: Any, options: Any) -> Any:
        tries.append(id(self))
        if len(tries) < 3:
            raise InfraError("not yet")
        return toy_envs.Frame("at last")

    monkeypatch.setattr(toy_envs.Moody, "_begin", begin)
    envs = make(num_envs=1, worker="thread")
    assert envs.reset(seed=0)[0]["text"] == ("at last",)
    assert len(tries) == 3


def test_a_reset_that_never_works_is_the_callers_to_see(make: Any) -> None:
    envs = make(num_envs=2, worker="thread")
    with pytest.raises(InfraError, match="no mood could be had"):
        envs.reset(seed=0, options={"fail": True})
    assert envs.reset(seed=0)[1]["turn"].tolist() == [0, 0]


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_next_episode_that_cannot_begin_is_a_failed_episode(
    make: Any, monkeypatch: Any, mode: Any
) -> None:
    envs = make(num_envs=2, worker="thread", autoreset_mode=mode)
    envs.reset(seed=0)
    with monkeypatch.context() as broken:

        def begin(self: Any, task: Any, options: Any) -> Any:
            raise InfraError("no more moods")

        broken.setattr(toy_envs.Moody, "_begin", begin)
        _, rewards, terminations, _, infos = envs.step(["end", "b"])
        assert (rewards.tolist(), terminations.tolist()) == ([1.0, 0.0], [True, False])
        if mode is AutoresetMode.SAME_STEP:
            assert infos["final_info"]["stop_reason"][0] is StopReason.SUCCESS
            assert infos["error"][0] == "no more moods"
        _, rewards, terminations, truncations, infos = envs.step(["x", "c"])
        assert (rewards[0], terminations[0], truncations[0]) == (0.0, False, True)
        assert infos["error"][0] == "no more moods"
    observations, *_ = envs.step(["x", "d"])
    assert observations["text"][0].startswith("ready")
    assert observations["text"][1] == "d 3"


def test_an_environment_that_cannot_be_made_is_a_bug_that_is_named() -> None:
    with pytest.raises(EnvError, match="slow_start"):
        agentgym.make_vec(toy_envs.MOODY, 1, worker="thread", slow_start="soon")


# Closing


@pytest.mark.parametrize("worker", ["thread", process])
def test_closing_is_bounded_and_leaves_nothing(worker: str) -> None:
    warm = agentgym.make_vec(toy_envs.MOODY, 1, worker=worker)
    warm.close()
    before = Holdings.now()
    envs = agentgym.make_vec(toy_envs.MOODY, 3, worker=worker, close_timeout=5)
    envs.reset(seed=0)
    envs.send(0, "sleep 1")
    began = time.monotonic()
    envs.close()
    envs.close()
    assert time.monotonic() - began < 10
    for call in (lambda: envs.reset(), lambda: envs.step([""] * 3), lambda: envs.recv(1)):
        with pytest.raises(EpisodeStateError, match="closed"):
            call()
    until = time.monotonic() + 20
    while Holdings.now().more_than(before) and time.monotonic() < until:
        time.sleep(0.02)
    assert Holdings.now().more_than(before) == ""


# Infos


def test_infos_of_all_kinds_are_batched() -> None:
    obs = {"text": "x"}
    batched = batch_infos(
        [
            {"n": 1, "x": 1, "ok": True, "said": "a", "list": [1], "deep": {"m": 1.5}},
            {"x": 2.5, "said": None, "final_obs": obs, "image": np.ones(2), "odd": np.ones(2)},
            {"image": np.zeros(2), "odd": np.ones(3), "mixed": 1},
            {"mixed": "one"},
        ]
    )
    assert batched["n"].tolist() == [1, 0, 0, 0]
    assert batched["n"].dtype == np.int64
    assert batched["_n"].tolist() == [True, False, False, False]
    assert (batched["x"].dtype, batched["x"].tolist()) == (np.float64, [1.0, 2.5, 0.0, 0.0])
    assert batched["ok"].dtype == np.bool_
    assert batched["said"].tolist() == ["a", None, None, None]
    assert batched["_said"].tolist() == [True, True, False, False]
    assert batched["list"].tolist() == [[1], None, None, None]
    assert batched["deep"]["m"].tolist() == [1.5, 0.0, 0.0, 0.0]
    assert batched["final_obs"].tolist() == [None, obs, None, None]
    assert batched["image"].shape == (4, 2)
    assert [None if v is None else v.shape for v in batched["odd"]] == [None, (2,), (3,), None]
    assert batched["mixed"].tolist() == [None, None, 1, "one"]
    assert batch_infos([{}, {}]) == {}
