"""What the generator promises, on our engine: every walkthrough wins, with its last command."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.envs.alfworld.engine import Game
from agentgym.envs.alfworld.generator import LEVELS, Difficulty, Split, TaskType, generate

numbers = st.integers(0, 10**6)
splits = st.sampled_from(Split)
types = st.sampled_from(TaskType)
# A game takes milliseconds to compile; a busy machine makes that any number of them.
some = settings(max_examples=30, deadline=None)
levels = st.sampled_from(LEVELS) | st.builds(Difficulty, st.integers(4, 20), st.integers(3, 30))


def check_walk(game: Game, commands: list[str]) -> None:
    play = game.start()
    assert not play.won
    for i, command in enumerate(commands, 1):
        assert command in play.admissible
        play.step(command)
        assert play.won is (i == len(commands))


@some
@given(numbers, splits, types, levels)
def test_the_walkthrough_wins_with_its_last_command(
    seed: int, split: Split, task_type: TaskType, level: str | Difficulty
):
    made = generate(seed, split=split, task_types=[task_type], difficulty=level)
    check_walk(Game.from_data(made.data), made.data["walkthrough"])


@pytest.mark.integration
@some
@given(numbers, splits, types, levels)
def test_it_wins_on_floor_plans_and_alfworlds_rules(
    seed: int, split: Split, task_type: TaskType, level: str | Difficulty
):
    pytest.importorskip("alfworld")
    made = generate(
        seed,
        split=split,
        task_types=[task_type],
        difficulty=level,
        scenes="alfworld",
        domain="alfred",
    )
    check_walk(Game.from_data(made.data), made.data["walkthrough"])


@pytest.mark.integration
@pytest.mark.parametrize("scenes", ["agentgym", "alfworld"])
@pytest.mark.parametrize("task_type", TaskType)
def test_our_rules_and_alfworlds_play_the_same_strings(task_type: TaskType, scenes: str):
    pytest.importorskip("alfworld")
    for seed in range(4):
        level = LEVELS[seed % len(LEVELS)]
        pair = [
            generate(seed, task_types=[task_type], difficulty=level, scenes=scenes, domain=domain)
            for domain in ("agentgym", "alfred")
        ]
        assert pair[0].id == pair[1].id
        ours, theirs = (Game.from_data(made.data).start() for made in pair)
        dice = random.Random(seed)
        for _ in range(60):
            assert ours.feedback == theirs.feedback
            assert list(ours.admissible) == list(theirs.admissible)
            assert ours.won == theirs.won
            # Walking is most of what can be done; prefer what changes something.
            acts = [c for c in ours.admissible if not c.startswith("go to ")]
            command = dice.choice(acts if dice.random() < 0.7 else list(ours.admissible))
            if dice.random() < 0.2:
                command = dice.choice(["", "go to", "dance", "examine the moon", command + " 1"])
            ours.step(command)
            theirs.step(command)
