"""The ALFWorld environment: its options and what a step says. The contract has tests of its own."""

from pathlib import Path
from typing import Any

import gymnasium
import pytest

import agentgym
from agentgym.envs.alfworld import ALFWorldEnv
from agentgym.envs.alfworld.generator import generate, write_game
from agentgym.errors import DataError, UnknownNameError, UsageError
from agentgym.stop_reason import StopReason

ID = "agentgym/ALFWorld-v0"


def make(**options: Any) -> ALFWorldEnv:
    env = agentgym.make(ID, **{"difficulty": "tiny", **options})
    assert isinstance(env, ALFWorldEnv)
    return env


def test_gymnasium_makes_the_same_environment() -> None:
    ours, theirs = make(), gymnasium.make(ID, difficulty="tiny")
    assert type(theirs) is type(ours)
    assert theirs.reset(seed=0) == ours.reset(seed=0)


def test_the_expert_solves_a_game_and_earns_1_at_the_end() -> None:
    env = make(expert="oracle")
    _, info = env.reset(seed=1)
    rewards: list[float] = []
    terminated = truncated = False
    while not (terminated or truncated):
        _, reward, terminated, truncated, info = env.step(info["expert_action"])
        rewards.append(reward)
    assert terminated
    assert info["stop_reason"] is StopReason.SUCCESS
    assert rewards == [0.0] * (len(rewards) - 1) + [1.0]
    assert info["expert_action"] is None


def test_the_text_is_the_feedback_and_nothing_else() -> None:
    env = make()
    observation, info = env.reset(seed=0)
    assert observation["text"].startswith("-= Welcome to TextWorld, ALFRED! =-\n\nYou are in the ")
    assert env.task.goal in observation["text"]
    assert "look" in info["admissible_commands"]
    observation, _, _, _, info = env.step("fly to the moon")
    assert observation["text"] == "Nothing happens."
    assert info["action_error"] == "That command does nothing here."
    observation, _, _, _, info = env.step("look")
    assert info["action_error"] is None


def test_admissible_commands_can_stand_in_the_text() -> None:
    env = make(observation="admissible")
    observation, info = env.reset(seed=0)
    assert observation["text"].endswith(f"\nYou can: {', '.join(info['admissible_commands'])}.")


def carry(env: ALFWorldEnv) -> tuple[str, str]:
    """Take something and return (object, a place where it can be put)."""
    _, info = env.reset(seed=3)
    for _ in range(30):
        moves = [c for c in info["admissible_commands"] if c.startswith("move ")]
        if moves:
            thing, _, place = moves[0].removeprefix("move ").partition(" to ")
            return thing, place
        _, _, _, _, info = env.step(info["expert_action"])
    raise AssertionError("the expert never held anything")


@pytest.mark.parametrize(("accepted", "answer"), [(True, "You move"), (False, "Nothing happens.")])
def test_the_older_wording_of_put_is_an_option(accepted: bool, answer: str) -> None:
    env = make(accept_put=accepted, expert="oracle")
    thing, place = carry(env)
    observation, *_ = env.step(f"put {thing} in/on {place}")
    assert observation["text"].startswith(answer)


def test_one_file_and_one_task_can_be_played(tmp_path: Path) -> None:
    file = write_game(generate(5, difficulty="tiny"), tmp_path)
    path = file if file.is_file() else next(file.rglob("game.tw-pddl"))
    by_file = make(game=path)
    by_index = make(task=5)
    assert len(by_file.tasks) == len(by_index.tasks) == 1
    assert by_file.reset(seed=0)[0] == by_index.reset(seed=9)[0]
    assert by_file.data_version == by_index.data_version
    assert make(task=by_index.task.id).reset()[0] == by_index.reset()[0]


def test_the_data_version_tells_games_apart() -> None:
    env = make()
    env.reset(options={"task": 0})
    first = env.data_version
    env.reset(options={"task": 1})
    assert env.data_version != first


@pytest.mark.parametrize(
    ("options", "fault", "says"),
    [
        ({"split": "test"}, UnknownNameError, "valid_unseen"),
        ({"source": "internet"}, UnknownNameError, "generated"),
        ({"observation": "html"}, UnknownNameError, "feedback"),
        ({"difficulty": "imposible"}, UnknownNameError, "tiny"),
        ({"task_types": ["sing"]}, UnknownNameError, "pick_and_place_simple"),
        ({"game": "nowhere.tw-pddl"}, DataError, "nowhere.tw-pddl"),
        ({"task": 99999}, UsageError, "3553"),
        ({"expert": "magic"}, UnknownNameError, "explorer"),
        ({"colour": "red"}, UsageError, "colour"),
    ],
)
def test_wrong_options_say_what_is_known(
    options: dict[str, Any], fault: type[Exception], says: str
) -> None:
    with pytest.raises(fault, match=says):
        make(**options)


def test_reset_takes_no_other_option() -> None:
    with pytest.raises(UsageError, match="but 'task'"):
        make().reset(options={"level": 3})


def test_actions_can_be_written_in_every_format() -> None:
    for name in ("plain", "tags", "tool_call", "react"):
        env = make(action_format=name, expert="explorer")
        _, info = env.reset(seed=2)
        observation, _, _, _, after = env.step(info["expert_action"])
        assert after["action_error"] is None
        assert observation["text"] != "Nothing happens."
