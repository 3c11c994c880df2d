"""The rules that the base class keeps for every environment."""

import copy
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
import toy_envs
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

import agentgym
from agentgym.actions import React
from agentgym.env import AgentEnv, Frame
from agentgym.errors import EnvError, EpisodeStateError, InfraError, UnknownNameError, UsageError
from agentgym.stop_reason import StopReason
from agentgym.task import Task


@pytest.fixture
def env() -> AgentEnv:
    return agentgym.make(toy_envs.COUNTER)


def test_gymnasium_makes_and_checks_it() -> None:
    for kwargs in ({}, {"visual": True}, {"action_format": "tags", "expert": True}):
        check_env(gymnasium.make(toy_envs.COUNTER, **kwargs))


def test_an_episode_ends_in_success(env: AgentEnv) -> None:
    observation, info = env.reset(seed=1, options={"task": 2, "start": 1})
    assert observation == {"text": f"Reach 5. The counter is at {env.unwrapped.count}."}
    assert info == {
        "success": False,
        "action_error": None,
        "metrics": {"count": float(env.unwrapped.count)},
        "turn": 0,
        "stop_reason": None,
        "parity": ["even", "odd"][env.unwrapped.count % 2],
    }
    observation, reward, terminated, truncated, info = env.step(str(5 - env.unwrapped.count))
    assert observation["text"] == "The counter is at 5."
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert (info["success"], info["stop_reason"], info["turn"]) == (True, StopReason.SUCCESS, 1)


def test_a_turn_limit_truncates(env: AgentEnv) -> None:
    env = agentgym.make(toy_envs.COUNTER, max_turns=2, expert=True)
    env.reset(seed=0)
    *_, terminated, truncated, info = env.step("0")
    assert (terminated, truncated, info["stop_reason"]) == (False, False, None)
    assert info["expert_action"] is not None
    *_, terminated, truncated, info = env.step("0")
    assert (terminated, truncated, info["stop_reason"]) == (False, True, StopReason.TURN_LIMIT)
    assert info["expert_action"] is None
    with pytest.raises(EpisodeStateError):
        env.step("0")


def test_the_world_has_the_last_word_on_the_last_turn() -> None:
    env = agentgym.make(toy_envs.COUNTER, max_turns=1, expert=True)
    _, info = env.reset(seed=0)
    *_, terminated, truncated, info = env.step(info["expert_action"])
    assert (terminated, truncated, info["stop_reason"]) == (True, False, StopReason.SUCCESS)


def test_an_action_that_does_not_parse_moves_nothing() -> None:
    env = agentgym.make(toy_envs.COUNTER, action_format="tags", visual=True)
    first, before = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step("hello")
    assert observation["text"] == info["action_error"]
    assert "<add>" in info["action_error"]
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info["metrics"] == before["metrics"]
    assert info["parity"] == before["parity"]
    assert np.array_equal(observation["image"], first["image"])
    assert not np.shares_memory(observation["image"], first["image"])


def test_one_action_a_turn_unless_the_world_takes_more() -> None:
    env = agentgym.make(toy_envs.COUNTER, action_format="tags")
    env.reset(seed=0)
    *_, info = env.step("<add>1</add><add>1</add>")
    assert [call.name for call in env.calls] == ["add", "add"]
    assert info["action_error"] == "One action per turn, please: you wrote 2."


def test_steps_out_of_order_raise(env: AgentEnv) -> None:
    with pytest.raises(EpisodeStateError):
        env.step("1")
    with pytest.raises(EpisodeStateError):
        _ = env.task
    env.reset(seed=0)
    env.close()
    env.close()
    with pytest.raises(EpisodeStateError):
        env.step("1")
    env.reset(seed=0)
    env.step("1")


def test_a_world_that_raised_is_not_stepped_again() -> None:
    env = agentgym.make(toy_envs.MOODY)
    env.reset()
    with pytest.raises(RuntimeError, match="bug in the world"):
        env.step("raise")
    with pytest.raises(EpisodeStateError):
        env.step("hello")
    env.reset()
    with pytest.raises(InfraError):
        env.step("infra")
    with pytest.raises(InfraError):
        env.reset(options={"fail": True})
    with pytest.raises(EpisodeStateError):
        env.step("hello")


@pytest.mark.parametrize("action", [None, 1, b"1", ["1"], np.array("1")])
def test_an_action_is_a_string(env: AgentEnv, action: Any) -> None:
    env.reset(seed=0)
    with pytest.raises(UsageError, match="An action is a str"):
        env.step(action)
    env.step("1")  # the caller's mistake cost the episode nothing


@pytest.mark.parametrize("choice", [1, np.int64(1), "goal-4", Task("goal-4", "Reach 4.", truth=4)])
def test_a_task_is_picked_by_index_id_or_itself(env: AgentEnv, choice: Any) -> None:
    observation, _ = env.reset(seed=0, options={"task": choice})
    assert env.task.id == "goal-4"
    assert env.calls == ()
    assert observation["text"].startswith("Reach 4.")


@pytest.mark.parametrize("choice", [6, -1, "goal-99", 1.0, True, ["goal-4"]])
def test_there_is_no_other_way_to_pick_a_task(env: AgentEnv, choice: Any) -> None:
    with pytest.raises(UsageError):
        env.reset(seed=0, options={"task": choice})


@given(st.integers(0, 2**32))
def test_picking_the_task_that_the_seed_draws_changes_nothing(seed: int) -> None:
    env = agentgym.make(toy_envs.COUNTER)
    drawn = env.reset(seed=seed)
    assert env.reset(seed=seed, options={"task": env.task.id}) == drawn


@given(st.integers(0, 2**32), st.lists(st.text(max_size=3), max_size=4))
def test_the_same_seed_is_the_same_episode(seed: int, actions: list[str]) -> None:
    one, other = (agentgym.make(toy_envs.COUNTER) for _ in range(2))
    assert one.reset(seed=seed) == other.reset(seed=seed)
    for action in actions:
        step = one.step(action)
        assert step == other.step(action)
        if step[2]:
            break


@pytest.mark.parametrize("name", [True, "direct", "slow"])
@pytest.mark.parametrize("action_format", ["plain", "tags", "tool_call", "react"])
def test_every_expert_plays_in_every_format(name: bool | str, action_format: str) -> None:
    env = agentgym.make(toy_envs.COUNTER, expert=name, action_format=action_format)
    _, info = env.reset(seed=3)
    for _ in range(20):
        *_, terminated, _, info = env.step(info["expert_action"])
        assert info["action_error"] is None
        if terminated:
            break
    assert info["success"]
    assert info["expert_action"] is None


def test_arguments_are_checked() -> None:
    for max_turns in (0, "", "many", 2.5):
        with pytest.raises(UsageError, match="max_turns must be"):
            agentgym.make(toy_envs.COUNTER, max_turns=max_turns)
    with pytest.raises(UsageError, match="render_mode"):
        toy_envs.Counter(render_mode="human")
    with pytest.raises(UnknownNameError, match="expert of Counter"):
        agentgym.make(toy_envs.COUNTER, expert="oracle")
    with pytest.raises(UnknownNameError, match="expert of Moody"):
        agentgym.make(toy_envs.MOODY, expert=True)
    with pytest.raises(UnknownNameError, match="action format"):
        agentgym.make(toy_envs.COUNTER, action_format="xml")


def test_instructions_tell_the_world_then_the_format() -> None:
    told = agentgym.make(toy_envs.COUNTER, action_format=React()).instructions
    assert told.startswith("Bring the counter to the goal.\n\n")
    assert "Action: <tool>[<argument>]" in told


def test_rendering() -> None:
    env = agentgym.make(toy_envs.COUNTER, render_mode="ansi")
    assert env.render() is None
    observation, _ = env.reset(seed=0)
    assert env.render() == observation["text"]
    env = agentgym.make(toy_envs.COUNTER, render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    assert env.render().shape == (4, 6, 3)
    assert "image" not in observation


class Overbearing(toy_envs.Counter):
    """Its own info collides with the contract's, and task 0 is over before it begins."""

    def _begin(self, task: Task, options: Any) -> Frame:
        frame = super()._begin(task, options)
        ended = task.id == "goal-3"
        return Frame(frame.text, ended=ended, info={"success": "maybe", "turn": 99, "own": 1})


def test_the_contracts_info_wins_over_the_environments() -> None:
    _, info = Overbearing().reset(seed=0, options={"task": 1})
    assert (info["success"], info["turn"], info["own"]) == (False, 0, 1)


def test_an_episode_that_ends_at_its_reset_is_the_environments_bug() -> None:
    with pytest.raises(EnvError, match="ended task 'goal-3' at its reset"):
        Overbearing().reset(seed=0, options={"task": 0})


def test_what_an_episode_shows_travels() -> None:
    env = agentgym.make(toy_envs.COUNTER, visual=True)
    shown = env.reset(seed=0)
    copied = pickle.loads(pickle.dumps(shown))
    assert copied[1] == shown[1]
    assert np.array_equal(copied[0]["image"], shown[0]["image"])
    assert pickle.loads(pickle.dumps(env.tools)) == env.tools == copy.deepcopy(env.tools)
