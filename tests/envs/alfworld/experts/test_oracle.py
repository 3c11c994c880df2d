"""The oracle wins whatever happens, and its walks serve as walkthroughs."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.envs.alfworld.engine import Game
from agentgym.envs.alfworld.experts import Oracle, Planner, solve
from agentgym.envs.alfworld.generator import Split, TaskType, generate
from agentgym.errors import DataError


@pytest.mark.parametrize("task_type", TaskType)
@pytest.mark.parametrize("split", Split)
def test_it_wins_no_later_than_the_generator_knows(split: Split, task_type: TaskType):
    made = generate(11, split=split, task_types=[task_type], difficulty="small")
    game = Game.from_data(made.data)
    oracle, play = Oracle(game), game.start()
    turns = 0
    while (command := oracle.advise(play)) is not None:
        assert command in play.admissible
        play.step(command)
        turns += 1
    assert play.won
    assert turns <= len(made.data["walkthrough"])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(TaskType), st.randoms())
def test_it_wins_beside_somebody_who_strays(seed: int, task_type: TaskType, dice: random.Random):
    game = Game.from_data(generate(seed, task_types=[task_type], difficulty="small").data)
    oracle, play = Oracle(game), game.start()
    for turn in range(60):
        advice = oracle.advise(play)
        if advice is None:
            break
        assert advice in play.admissible
        strays = turn < 20 and dice.random() < 0.5
        play.step(dice.choice(play.admissible) if strays else advice)
    assert play.won


def test_it_plans_once_while_nobody_strays(monkeypatch: pytest.MonkeyPatch):
    plans: list[int] = []
    plan = Planner.plan

    def counted(self: Planner, state: int):
        plans.append(state)
        return plan(self, state)

    monkeypatch.setattr(Planner, "plan", counted)
    game = Game.from_data(generate(2, task_types=[TaskType.PICK_TWO], difficulty="small").data)
    oracle, play = Oracle(game), game.start()
    while (command := oracle.advise(play)) is not None:
        play.step("dance")  # changes nothing, so the plan stands
        play.step(command)
    assert play.won
    assert len(plans) == 1


def test_a_won_game_needs_no_advice():
    made = generate(4, difficulty="tiny")
    game = Game.from_data(made.data)
    play = game.start()
    for command in made.data["walkthrough"]:
        play.step(command)
    assert Oracle(game).advise(play) is None


def test_its_walk_becomes_the_walkthrough():
    made = generate(6, difficulty="small", walkthrough=solve)
    game = Game.from_data(made.data)
    play = game.start()
    for command in game.walkthrough:
        assert not play.won
        play.step(command)
    assert play.won
    assert len(game.walkthrough) <= len(generate(6, difficulty="small").data["walkthrough"])


def test_a_game_without_a_way_is_an_error():
    data = dict(generate(0, task_types=[TaskType.COOL], difficulty="tiny").data)
    data["pddl_problem"] = str(data["pddl_problem"]).replace("coolable", "heatable")
    with pytest.raises(DataError, match="no way to win"):
        solve(data)
