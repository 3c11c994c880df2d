"""The explorer wins by reading alone, does nothing needless, and copes with whoever else acts."""

import random
import re
from collections import Counter

import pytest
from alfworld_games import shared_game
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agentgym.envs.alfworld.engine import Game, Play
from agentgym.envs.alfworld.experts import EXPERTS, Explorer, make_expert
from agentgym.envs.alfworld.generator import Split, TaskType, generate
from agentgym.errors import DataError, UnknownNameError, UsageError

TURNS = 50
numbers = st.integers(0, 10**6)
types = st.sampled_from(TaskType)
some = settings(max_examples=10, deadline=None)


def beside(play: Play) -> Explorer:
    explorer = Explorer()
    explorer.begin(play.feedback, play.admissible)
    return explorer


def walk(game: Game, turns: int = TURNS) -> tuple[bool, list[str]]:
    """Follow the explorer's advice, and return whether it won and what it did."""
    play = game.start()
    explorer = beside(play)
    commands: list[str] = []
    while not play.won and len(commands) < turns:
        command = explorer.advise()
        assert command is not None
        assert command in play.admissible
        commands.append(command)
        play.step(command)
        explorer.observe(command, play.feedback, play.admissible)
    return play.won, commands


@pytest.mark.parametrize("task_type", TaskType)
@pytest.mark.parametrize("split", Split)
def test_it_wins_every_type_in_every_split(split: Split, task_type: TaskType):
    for seed in range(3):
        made = generate(seed, split=split, task_types=[task_type], difficulty="small")
        won, _ = walk(Game.from_data(made.data))
        assert won, made.id


@pytest.mark.slow
@pytest.mark.parametrize("task_type", TaskType)
@pytest.mark.parametrize("split", Split)
def test_it_wins_full_rooms_in_time(split: Split, task_type: TaskType):
    games = [generate(seed, split=split, task_types=[task_type]) for seed in range(20)]
    won = [walk(Game.from_data(made.data))[0] for made in games]
    assert sum(won) >= 0.95 * len(won)


@some
@given(numbers, types, st.randoms())
def test_it_wins_beside_somebody_who_strays(seed: int, task_type: TaskType, dice: random.Random):
    game = Game.from_data(generate(seed, task_types=[task_type], difficulty="small").data)
    play = game.start()
    explorer = beside(play)
    for turn in range(100):
        if play.won:
            break
        advice = explorer.advise()
        assert advice in play.admissible
        strays = turn < 20 and dice.random() < 0.5
        command = dice.choice([*play.admissible, "dance", "go to moon 1"]) if strays else advice
        play.step(command)
        explorer.observe(command, play.feedback, play.admissible)
    assert play.won


@some
@given(numbers, types)
def test_it_does_nothing_needless(seed: int, task_type: TaskType):
    _, commands = walk(
        Game.from_data(generate(seed, task_types=[task_type], difficulty="small").data)
    )
    verbs = Counter(command.partition(" ")[0] for command in commands)
    assert not verbs.keys() & {"look", "inventory", "help", "examine", "close"}
    assert verbs["take"] == task_type.needed
    opened = [command for command in commands if command.startswith("open")]
    assert len(opened) == len(set(opened))


@some
@given(numbers, types, st.randoms())
def test_what_was_not_seen_has_no_influence(seed: int, task_type: TaskType, dice: random.Random):
    """Shuffle what lies where nobody looked; the explorer can't tell until it looks there."""
    made = generate(seed, task_types=[task_type], difficulty="small")
    data = dict(made.data)
    lies = re.compile(r"\(inReceptacle ([^?\s]\S*) ([^?\s)]+)\)")
    places = [match[2] for match in lies.finditer(str(data["pddl_problem"]))]
    dice.shuffle(places)
    data["pddl_problem"] = lies.sub(
        lambda match: f"(inReceptacle {match[1]} {places.pop()})", str(data["pddl_problem"])
    )
    one, other = Game.from_data(made.data).start(), Game.from_data(data).start()
    assume(not other.won)
    first, second = beside(one), beside(other)
    while (one.feedback, one.admissible) == (other.feedback, other.admissible) and not one.won:
        command = first.advise()
        assert command is not None
        assert second.advise() == command
        for play, explorer in ((one, first), (other, second)):
            play.step(command)
            explorer.observe(command, play.feedback, play.admissible)


def test_equal_games_are_played_equally_and_asking_twice_changes_nothing():
    data = generate(8, difficulty="medium").data
    assert walk(Game.from_data(data)) == walk(Game.from_data(data))
    explorer = beside(Game.from_data(data).start())
    assert explorer.advise() == explorer.advise()


def shared_spots(seed: int) -> Game:
    """Return a game in which all receptacles are reached from two spots."""
    data = dict(generate(seed, difficulty="small").data)
    problem = str(data["pddl_problem"])
    spots = sorted(set(re.findall(r"loc_bar_\d+", problem)) - {"loc_bar_00"})
    for i, spot in enumerate(spots):
        problem = re.sub(rf"{spot}(?!.*- location)", spots[i % 2], problem)
    data["pddl_problem"] = problem
    return Game.from_data(data)


@pytest.mark.parametrize("seed", range(6))
def test_what_shares_a_spot_is_examined(seed: int):
    won, commands = walk(shared_spots(seed))
    assert won
    assert not {command.partition(" ")[0] for command in commands} & {"look", "inventory", "help"}


def test_a_thing_in_the_way_is_put_down():
    game = Game.from_data(generate(1, task_types=[TaskType.HEAT], difficulty="medium").data)
    play = game.start()
    explorer = beside(play)
    goal = re.search(r"(?:hot|heat some) (\S+)", game.task)
    assert goal
    burden = next(
        (place, command)
        for place in [c for c in play.admissible if c.startswith("go to")]
        for command in _offered(play, place)
        if command.startswith("take") and goal[1] not in command
    )
    for command in burden:
        play.step(command)
        explorer.observe(command, play.feedback, play.admissible)
    said: list[str] = []
    while (advice := explorer.advise()) and not play.won and len(said) < TURNS:
        said.append(advice)
        play.step(advice)
        explorer.observe(advice, play.feedback, play.admissible)
    assert play.won
    assert next(c for c in said if c.startswith(("move", "take"))).startswith("move")


def _offered(play: Play, command: str) -> list[str]:
    copy = play.copy()
    copy.step(command)
    return copy.admissible


def test_without_a_plan_it_looks_around():
    explorer = Explorer()
    room = "Looking quickly around you, you see a shelf 1.\n\nYour task is to: put a pen in safe."
    explorer.begin(room, ["go to shelf 1", "look"])
    assert explorer.advise() == "go to shelf 1"
    explorer.observe(
        "go to shelf 1",
        "You arrive at shelf 1. On the shelf 1, you see a pen 1.",
        ["examine shelf 1", "look", "take pen 1 from shelf 1"],
    )
    assert explorer.advise() == "look"


def test_a_world_that_contradicts_it_does_not_trap_it():
    """What it takes for granted turns out impossible: it still says something that can be done."""
    explorer = Explorer()
    room = "Looking quickly around you, you see a desk 1, and a shelf 1."
    explorer.begin(
        f"{room}\n\nYour task is to: put a pen in desk.", ["go to shelf 1", "go to desk 1", "look"]
    )
    admissible = ["examine shelf 1", "go to desk 1", "look"]  # no pen to take
    explorer.observe(
        "go to shelf 1", "You arrive at shelf 1. On the shelf 1, you see a pen 1.", admissible
    )
    assert explorer.advise() in admissible


def test_it_must_be_told_the_beginning():
    with pytest.raises(UsageError, match="call begin"):
        Explorer().advise()
    with pytest.raises(DataError, match="names no receptacle"):
        Explorer().begin("Your task is to: put a pen in desk.", ["look"])


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_are_found_by_name_and_follow_a_play(name: str):
    game = Game.from_data(generate(2, difficulty="tiny").data)
    play = game.start()
    expert = make_expert(name, game, play)
    for _ in range(TURNS):
        command = expert.advise(play)
        if command is None:
            break
        play.step(command)
        expert.observe(command, play)
    assert play.won
    assert expert.advise(play) is None


def test_an_unknown_expert_is_an_error():
    game = Game.from_data(generate(2, difficulty="tiny").data)
    with pytest.raises(UnknownNameError, match="did you mean 'explorer'"):
        make_expert("explorers", game, game.start())


@pytest.mark.integration
@pytest.mark.parametrize("name", ["single_agent_potato", "tiny_apple"])
def test_it_wins_real_games(name: str):
    assert walk(Game.load(shared_game(name)))[0]
