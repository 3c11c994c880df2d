"""What each wrapper changes, and that it changes nothing else."""

import pickle
from collections.abc import Mapping
from functools import partial
from typing import Any

import gymnasium
import pytest
import toy_envs
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

import agentgym
from agentgym.env import AgentEnv, Observation
from agentgym.errors import EpisodeStateError, UsageError
from agentgym.stop_reason import StopReason
from agentgym.wrappers import (
    AgentWrapper,
    ClipObservation,
    FormatPenalty,
    HistoryWindow,
    PotentialShaping,
    ShapeReward,
    Transition,
    TurnLimit,
)


def a_tenth_per_word(turn: Transition) -> float:
    return 0.1 * len(turn.action.split())


def count(observation: Observation, info: Mapping[str, Any]) -> float:
    return info["metrics"]["count"]


STACK = [
    partial(TurnLimit, max_turns=7),
    partial(HistoryWindow, turns=2),
    partial(ClipObservation, max_chars=200, head=0.25),
    partial(ShapeReward, function=a_tenth_per_word, weight=2.0),
    partial(PotentialShaping, potential=count, gamma=0.9),
    partial(FormatPenalty, penalty=0.5),
]


def make(*wrappers: Any, **kwargs: Any) -> AgentEnv:
    return agentgym.make(toy_envs.COUNTER, wrappers=wrappers, **kwargs)


def say(env: AgentEnv, *texts: str) -> list[str]:
    seen = [env.reset(seed=0, options={"task": 5})[0]["text"]]
    return seen + [env.step(text)[0]["text"] for text in texts]


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped version")
@pytest.mark.parametrize("wrapper", STACK, ids=lambda wrapper: wrapper.func.__name__)
def test_a_wrapped_environment_looks_like_a_plain_one(wrapper: Any) -> None:
    env = make(wrapper, expert="slow", action_format="tags")
    assert isinstance(env, AgentWrapper)
    env.reset(seed=1)
    env.step("<add>0</add>")
    for name in (
        *("instructions", "tools", "task", "tasks", "calls", "action_format", "parallel_calls"),
        *("description", "worker", "experts", "expert"),
    ):
        assert getattr(env, name) == getattr(env.unwrapped, name), name
    assert type(env.unwrapped) is toy_envs.Counter
    check_env(env)


@pytest.mark.parametrize("wrapper", STACK, ids=lambda wrapper: wrapper.func.__name__)
def test_arguments_are_remembered(wrapper: Any) -> None:
    spec = make(wrapper, expert="slow").spec
    assert spec is not None
    again: Any = gymnasium.make(pickle.loads(pickle.dumps(spec)))
    assert type(again) is wrapper.func
    assert again.expert == "slow"
    assert {name: getattr(again, name, None) for name in wrapper.keywords} == {**wrapper.keywords}


def test_a_whole_stack_is_made_again_from_its_spec() -> None:
    env = make(*STACK)
    twin: Any = gymnasium.make(pickle.loads(pickle.dumps(env.spec)))
    assert str(twin) == str(env)
    assert twin.reset(seed=4) == env.reset(seed=4)
    for action in ("1", "nonsense", "say", "1", "1"):
        step = env.step(action)
        assert twin.step(action) == step


def test_only_agent_environments_are_wrapped() -> None:
    with pytest.raises(UsageError, match="wraps an AgentEnv; got CartPoleEnv"):
        TurnLimit(gymnasium.make("CartPole-v1"), max_turns=3)  # pyright: ignore[reportArgumentType]


# TurnLimit


def test_a_turn_limit_truncates_and_does_not_terminate() -> None:
    env = make(partial(TurnLimit, max_turns=2), expert=True)
    env.reset(seed=0)
    assert env.step("0")[2:4] == (False, False)
    *_, terminated, truncated, info = env.step("0")
    assert (terminated, truncated) == (False, True)
    assert info["stop_reason"] is StopReason.TURN_LIMIT
    assert info["expert_action"] is None
    with pytest.raises(EpisodeStateError, match="turn limit"):
        env.step("0")
    env.reset(seed=0)
    assert env.step("0")[2:4] == (False, False)


def test_a_world_that_ends_on_the_last_turn_terminates() -> None:
    env = make(partial(TurnLimit, max_turns=1), expert=True)
    _, info = env.reset(seed=0)
    *_, terminated, truncated, info = env.step(info["expert_action"])
    assert (terminated, truncated) == (True, False)
    assert info["stop_reason"] is StopReason.SUCCESS


@pytest.mark.parametrize(("inner", "outer"), [(None, 3), (5, 3), (3, 5)])
def test_a_turn_limit_only_tightens(inner: int | None, outer: int) -> None:
    env = make(partial(TurnLimit, max_turns=outer), max_turns=inner)
    assert env.max_turns == 3
    env.reset(seed=0)
    assert [env.step("0")[3] for _ in range(3)] == [False, False, True]


def test_arguments_out_of_range_are_refused() -> None:
    for wrapper in (
        partial(TurnLimit, max_turns=0),
        partial(ClipObservation, max_chars=99),
        partial(ClipObservation, max_chars=100, head=1.5),
        partial(HistoryWindow, turns=-1),
        partial(PotentialShaping, potential=count, gamma=1.1),
        partial(FormatPenalty, penalty=-1.0),
    ):
        with pytest.raises(UsageError):
            make(wrapper)


# ClipObservation


@given(st.text(max_size=3000), st.integers(100, 500), st.floats(0, 1))
def test_clipping_keeps_both_ends_and_counts_what_it_cut(
    text: str, limit: int, head: float
) -> None:
    env = make(partial(ClipObservation, max_chars=limit, head=head), expert=False)
    full = f"You said: {text}"
    clipped = env.clip(full)  # pyright: ignore[reportAttributeAccessIssue]
    assert len(clipped) <= limit
    if len(full) <= limit:
        assert clipped == full
        return
    start, _, rest = clipped.partition("\n[… ")
    notice, _, end = rest.partition(" …]\n")
    assert full.startswith(start)
    assert full.endswith(end)
    assert (
        notice == f"{len(full) - len(start) - len(end)} of {len(full)} characters are left out here"
    )


def test_first_and_later_texts_are_clipped_and_fit_the_space() -> None:
    env = agentgym.make(
        toy_envs.MOODY, wrappers=[partial(ClipObservation, max_chars=100)], max_turns=9
    )
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    observation, *_ = env.step("big 1000000")
    assert observation in env.observation_space
    assert "of 1000000 characters" in observation["text"]
    assert {"text": "x" * 101} not in env.observation_space


def test_clipping_leaves_images_alone() -> None:
    env = make(partial(ClipObservation, max_chars=100), visual=True)
    observation, _ = env.reset(seed=0)
    assert observation["image"].shape == (4, 6, 3)
    assert observation in env.observation_space


# HistoryWindow


def test_a_window_shows_the_last_turns() -> None:
    plain = say(make(action_format="tags"), *(f"<say>{word}</say>" for word in "abc"))
    shown = say(
        make(partial(HistoryWindow, turns=1), action_format="tags"),
        *(f"<say>{word}</say>" for word in "abc"),
    )
    assert shown[0] == plain[0]
    assert shown[1] == (f"Observation: {plain[0]}\nAction: <say>a</say>\nObservation: You said: a")
    assert shown[3] == (
        f"Observation: {plain[0]}\n[2 earlier turns left out]\n"
        "Observation: You said: b\nAction: <say>c</say>\nObservation: You said: c"
    )


def test_a_window_may_forget_the_beginning() -> None:
    env = make(partial(HistoryWindow, turns=0, keep_first=False))
    assert say(env, "0")[1].startswith("[1 earlier turn left out]\nObservation: The counter")


def test_a_window_starts_empty_after_a_reset() -> None:
    env = make(partial(HistoryWindow, turns=3))
    assert say(env, "0", "0") == say(env, "0", "0")


# Rewards


def test_shaping_adds_and_says_what_it_added() -> None:
    env = make(
        partial(ShapeReward, function=a_tenth_per_word, weight=2.0),
        partial(FormatPenalty, penalty=0.5),
    )
    env.reset(seed=0)
    _, reward, *_, info = env.step("not a number")
    assert info["action_error"] == "That is no number."
    assert reward == pytest.approx(2 * 0.3 - 0.5)
    assert info["shaping"] == pytest.approx(reward)
    _, reward, *_, info = env.step("0")
    assert reward == pytest.approx(0.2)


def test_a_format_penalty_is_for_bad_actions_only() -> None:
    env = make(partial(FormatPenalty, penalty=0.5), action_format="tool_call", expert=True)
    _, info = env.reset(seed=0)
    assert env.step("hello")[1] == -0.5
    assert env.step(info["expert_action"])[1] == 1.0


@given(
    st.lists(st.integers(-3, 3), max_size=6),
    st.sampled_from([0.5, 0.9, 1.0]),
    st.integers(0, 1000),
)
def test_potential_shaping_telescopes(steps: list[int], gamma: float, seed: int) -> None:
    """Over an episode the discounted shaping is gamma^n phi(s_n) - phi(s_0), whatever was done."""
    env = make(partial(PotentialShaping, potential=count, gamma=gamma, weight=1.5))
    _, info = env.reset(seed=seed)
    first, last, total, n = count({"text": ""}, info), count({"text": ""}, info), 0.0, 0
    for step in steps:
        _, reward, terminated, _, info = env.step(str(step))
        total += gamma**n * info["shaping"]
        assert reward - info["shaping"] == pytest.approx(float(terminated))
        n += 1
        last = 0.0 if terminated else count({"text": ""}, info)
        if terminated:
            break
    assert total == pytest.approx(1.5 * (gamma**n * last - first))


def test_potential_shaping_bootstraps_where_a_limit_cut() -> None:
    env = make(partial(TurnLimit, max_turns=1), partial(PotentialShaping, potential=count))
    env.reset(seed=0, options={"start": 10})
    *_, truncated, after = env.step("2")
    assert truncated
    assert after["shaping"] == 2.0
