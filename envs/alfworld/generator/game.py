"""Games on demand: a number and a few choices in, a complete ALFWorld game out.

Game i of a split is the same game in every process, for ever: everything random about it is drawn
from dice that its split, its number and the caller's choices seed. Every game can be won: the
generator puts down all that the goal needs and knows the way (see `walkthrough`). The rules and the
wording come from our own domain and grammar, or from the ones that the `alfworld` package ships;
the room is the same.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import TypedDict

from agentgym.envs.alfworld.generator.difficulty import Difficulty
from agentgym.envs.alfworld.generator.floor_plans import floor_plan, package_folder
from agentgym.envs.alfworld.generator.goals import Goal, TaskType, goals
from agentgym.envs.alfworld.generator.problem import write_problem
from agentgym.envs.alfworld.generator.scenes import Scene, Split, scene, scene_numbers
from agentgym.envs.alfworld.generator.walkthrough import walkthrough as own_walkthrough
from agentgym.envs.alfworld.generator.world import furnish
from agentgym.envs.dice import Dice
from agentgym.errors import DataError, UsageError
from agentgym.members import member


class GameData(TypedDict):
    """What a game.tw-pddl file holds."""

    pddl_domain: str
    grammar: str
    pddl_problem: str
    solvable: bool
    walkthrough: list[str]


Solver = Callable[[GameData], Sequence[str]]
"""Finds the commands that win a game."""


class SceneSource(Enum):
    """Whose rooms: our tables, or the floor plans of the installed `alfworld` package."""

    AGENTGYM = "agentgym"
    ALFWORLD = "alfworld"


class Domain(Enum):
    """Whose rules and wording: ours, or the ones of the installed `alfworld` package."""

    AGENTGYM = "agentgym"
    ALFRED = "alfred"


@dataclass(frozen=True, slots=True)
class GeneratedGame:
    """A game.

    Attributes:
        id: "<task>/<trial>": unique and stable; also the folder of the game inside its split.
        split: The split that it belongs to.
        index: Its number in the split.
        scene: The number of its room, as in ALFRED.
        goal: What it asks for.
        goal_text: How it is said: "put a clean apple in fridge".
        data: The contents of its game.tw-pddl file.
    """

    id: str
    split: Split
    index: int
    scene: int
    goal: Goal
    goal_text: str
    data: GameData

    @property
    def task_type(self) -> str:
        """ALFWorld's name for the kind of task."""
        return self.goal.task_type.value


def generate(
    seed: int,
    *,
    split: Split | str = Split.TRAIN,
    task_types: Iterable[TaskType | str] | None = None,
    difficulty: Difficulty | int | str = "full",
    scenes: SceneSource | str = SceneSource.AGENTGYM,
    domain: Domain | str = Domain.AGENTGYM,
    walkthrough: Solver | None = None,
) -> GeneratedGame:
    """Generate one game.

    Args:
        seed: The number of the game in its split.
        split: "train", "valid_seen" (training's scenes, goals that training never sets in them) or
            "valid_unseen" (scenes that training never shows).
        task_types: The kinds of tasks to draw from; all six where not given.
        difficulty: How large the room is: a level from 1 to 5, a name or a `Difficulty`.
        scenes: "agentgym", or "alfworld" for the floor plans of that package.
        domain: "agentgym", or "alfred" for the rules and wording of the `alfworld` package. The
            game plays the same on both.
        walkthrough: Replaces the generator's own walkthrough: gets the game's data and returns the
            commands.

    Returns:
        The game; equal arguments give an equal game.

    Raises:
        UnknownNameError: No such split, task type, difficulty or source.
        UsageError: The seed is negative, or no task type was given.
        MissingDependencyError: The `alfworld` package is asked for and not installed.
        DataError: No scene has a goal of these types.
    """
    split = member(Split, split, "split")
    source = member(SceneSource, scenes, "scene source")
    rules = member(Domain, domain, "domain")
    level = Difficulty.of(difficulty)
    types = tuple(TaskType) if task_types is None else _task_types(task_types)
    if seed < 0:
        raise UsageError(f"A game's number is 0 or more, not {seed}.")

    names = ",".join(task_type.value for task_type in types)
    key = f"{split.value} {seed} {names} {source.value} {level.receptacles} {level.objects}"
    dice = Dice(key)
    room, goal = _draw_goal(dice.pick(types), split, source, dice)
    goal_text = dice.pick(goal.phrases)
    world = furnish(room, goal, level, dice)

    folder = "-".join(
        (goal.task_type.value, goal.object_kind, "None", goal.place_kind, str(room.number))
    )
    problem = write_problem(world, f"{split.value}_{seed}")
    digest = hashlib.sha256(f"{goal_text}\n{problem}".encode()).hexdigest()[:8]
    pddl, grammar = _rules(rules)
    data: GameData = {
        "pddl_domain": pddl,
        "grammar": grammar.replace("UNKNOWN GOAL", goal_text),
        "pddl_problem": problem,
        "solvable": True,
        "walkthrough": list(own_walkthrough(world)),
    }
    if walkthrough is not None:
        data["walkthrough"] = list(walkthrough(data))
    return GeneratedGame(
        id=f"{folder}/trial_{split.value}_{seed:06d}_{digest}",
        split=split,
        index=seed,
        scene=room.number,
        goal=goal,
        goal_text=goal_text,
        data=data,
    )


def _task_types(values: Iterable[TaskType | str]) -> tuple[TaskType, ...]:
    """Return the task types once each and in their own order, whatever order they were given in."""
    wanted = {member(TaskType, value, "task type") for value in values}
    if not wanted:
        raise UsageError("task_types is empty; leave it out to draw from all six.")
    return tuple(task_type for task_type in TaskType if task_type in wanted)


def _draw_goal(
    task_type: TaskType, split: Split, source: SceneSource, dice: Dice
) -> tuple[Scene, Goal]:
    rooms = _rooms_with_goals(task_type, split, source)
    if not rooms:
        raise DataError(
            f"No {split.value} scene of {source.value!r} has a goal of type {task_type.value}; "
            "choose other task types or other scenes."
        )
    room = dice.pick(rooms)
    return room, dice.pick(_goals(room.number, task_type, split, source))


@cache
def _rooms_with_goals(task_type: TaskType, split: Split, source: SceneSource) -> tuple[Scene, ...]:
    numbers = (n for room in task_type.rooms for n in scene_numbers(room, split))
    return tuple(_scene(n, source) for n in numbers if _goals(n, task_type, split, source))


@cache
def _goals(number: int, task_type: TaskType, split: Split, source: SceneSource) -> tuple[Goal, ...]:
    return goals(_scene(number, source), task_type, split)


def _scene(number: int, source: SceneSource) -> Scene:
    return scene(number) if source is SceneSource.AGENTGYM else floor_plan(number)


@cache
def _rules(domain: Domain) -> tuple[str, str]:
    """Return the texts of a domain and its grammar."""
    if domain is Domain.AGENTGYM:
        folder, names = files("agentgym.envs.alfworld.generator"), ("domain.pddl", "grammar.twl2")
    else:
        folder, names = package_folder() / "data", ("alfred.pddl", "alfred.twl2")
    pddl, grammar = (folder.joinpath(name).read_text(encoding="utf-8") for name in names)
    return pddl, grammar
