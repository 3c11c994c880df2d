"""Every phrase that the generator says is understood, and what is not says so."""

import pytest

from agentgym.envs.alfworld.experts.task_line import read_goal
from agentgym.envs.alfworld.generator import Goal, TaskType
from agentgym.errors import DataError


@pytest.mark.parametrize("task_type", TaskType)
def test_each_phrase_is_read_back(task_type: TaskType):
    goal = Goal(task_type, "butterknife", "countertop")
    for phrase in goal.phrases:
        text = f"-= Welcome =-\n\nYou see a drawer 1.\n\nYour task is to: {phrase}."
        assert read_goal(text) == goal


@pytest.mark.parametrize(
    ("line", "goal"),
    [
        ("put a hot potato in sinkbasin", Goal(TaskType.HEAT, "potato", "sinkbasin")),
        ("cool some mug and put it in shelf", Goal(TaskType.COOL, "mug", "shelf")),
        ("put some watch on safe", Goal(TaskType.PICK, "watch", "safe")),
        ("examine the cd with the desklamp", Goal(TaskType.LOOK, "cd", "desklamp")),
        ("find two pen and put them in drawer", Goal(TaskType.PICK_TWO, "pen", "drawer")),
    ],
)
def test_alfworlds_lines_are_read(line: str, goal: Goal):
    assert read_goal(f"Your task is to: {line}.") == goal


def test_other_words_are_an_error_that_names_them():
    with pytest.raises(DataError, match="tidy up the kitchen"):
        read_goal("Your task is to: tidy up the kitchen.")


def test_a_text_without_a_task_is_an_error():
    with pytest.raises(DataError, match="states no task"):
        read_goal("You are in the middle of a room.")
