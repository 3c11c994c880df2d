"""Plans are shortest where a blind search can tell, and the planner knows no household."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.envs.alfworld.engine import Game
from agentgym.envs.alfworld.experts import Planner
from agentgym.envs.alfworld.experts.relaxed import Relaxation, cheapest
from agentgym.envs.alfworld.generator import Difficulty, TaskType, generate

SMALLEST = Difficulty(4, 3)
WORKSHOP = Path(__file__).parents[1] / "engine" / "games"


def blind(game: Game, start: int) -> int:
    """Return the length of a shortest plan, by trying everything."""
    layer, seen, depth = [start], {start & game.physical}, 0
    while not any(map(game.is_goal, layer)):
        depth += 1
        reached = [game.apply(state, move) for state in layer for move in game.applicable(state)]
        layer = []
        for state in reached:
            if state & game.physical not in seen:
                seen.add(state & game.physical)
                layer.append(state)
        assert layer, "the goal is out of reach"
    return depth


def follow(game: Game, start: int) -> int:
    """Follow a plan from a state, check it, and return its length."""
    plan = Planner(game).plan(start)
    assert plan is not None
    state = start
    for step in plan:
        assert not game.is_goal(state)
        assert step.operator in game.applicable(state)
        state = game.apply(state, step.operator)
    assert game.is_goal(state)
    return len(plan)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(TaskType), st.integers(0, 8), st.randoms())
def test_plans_are_shortest_from_wherever_one_strayed(
    seed: int, task_type: TaskType, strayed: int, dice: random.Random
):
    game = Game.from_data(generate(seed, task_types=[task_type], difficulty=SMALLEST).data)
    state = game.initial
    for _ in range(strayed):
        state = game.apply(state, dice.choice(game.applicable(state)))
    assert follow(game, state) == blind(game, state)


def test_equal_states_get_equal_plans():
    data = generate(5, difficulty="medium").data
    one, other = Game.from_data(data), Game.from_data(data)
    assert Planner(one).plan(one.initial) == Planner(other).plan(other.initial)


def test_a_goal_that_holds_needs_no_plan():
    made = generate(1, difficulty=SMALLEST)
    game = Game.from_data(made.data)
    play = game.start()
    for command in made.data["walkthrough"]:
        play.step(command)
    assert Planner(game).plan(play.state) == []


def test_what_is_out_of_reach_is_said_to_be():
    data = dict(generate(0, task_types=[TaskType.HEAT], difficulty=SMALLEST).data)
    data["pddl_problem"] = str(data["pddl_problem"]).replace("heatable", "coolable")
    game = Game.from_data(data)
    assert Planner(game).plan(game.initial) is None


@pytest.mark.parametrize(
    "goal",
    [
        "(and (painted crate_bar_2 green_bar_1) (holding bob_bar_1 crate_bar_2))",
        "(not (bright cellar_bar_1))",
        "(and (inside stool crate_bar_2) (not (open crate_bar_2)))",
        "(and (hidden stool) (in bob_bar_1 hall_bar_1) (not (busy ann_bar_1)))",
    ],
)
def test_a_world_that_is_no_household(goal: str):
    problem = (WORKSHOP / "workshop_problem.pddl").read_text()
    data = {
        "pddl_domain": (WORKSHOP / "workshop.pddl").read_text(),
        "grammar": (WORKSHOP / "workshop.twl2").read_text(),
        "pddl_problem": f"{problem[: problem.index('(:goal')]}(:goal {goal}))",
    }
    game = Game.from_data(data)
    assert follow(game, game.initial) <= blind(game, game.initial) + 1


def test_the_estimate_is_exact_where_nothing_must_be_visited_twice():
    game = Game.from_data(generate(7, task_types=[TaskType.LOOK], difficulty=SMALLEST).data)
    relaxation = Relaxation(game)
    start = relaxation.extend(game.initial)
    estimate = cheapest(start, relaxation.moves, relaxation.goal)
    assert estimate == blind(game, game.initial)


def test_of_two_places_on_one_spot_it_goes_to_the_one_it_uses():
    data = dict(generate(3, task_types=[TaskType.PICK], difficulty=SMALLEST).data)
    game = Game.from_data(data)
    lines = str(data["pddl_problem"]).splitlines()
    crowded = [
        f"{line.rpartition(' ')[0]} loc_bar_01)" if "receptacleAtLocation" in line else line
        for line in lines
    ]
    data["pddl_problem"] = "\n".join(crowded)
    game = Game.from_data(data)
    plan = Planner(game).plan(game.initial)
    assert plan is not None
    go, then = (game.operators[step.operator].args for step in plan[:2])
    assert set(go[-1:]) <= set(then)
