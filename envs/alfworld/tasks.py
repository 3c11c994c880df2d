"""Where ALFWorld's games come from: generated ones, a folder of ALFWorld's own, or one file.

Each is a `TaskSet`: a game is a task, its id is `<task>/<trial>` as in ALFWorld's folders, and the
same index is the same game in every process. Games are read or generated when they are asked for.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import orjson

from agentgym.envs.alfworld.generator import (
    Difficulty,
    GeneratedGame,
    Split,
    TaskType,
    generate,
)
from agentgym.errors import DataError, UnknownNameError, UsageError
from agentgym.task import Task, TaskList

SIZES: Mapping[Split, int] = {Split.TRAIN: 3553, Split.VALID_SEEN: 140, Split.VALID_UNSEEN: 134}
"""How many games the splits of ALFWorld have; the generated splits have as many unless told."""

DATA_VARIABLE = "ALFWORLD_DATA"


class GeneratedGames:
    """The first games of a split that the generator makes.

    Args:
        split: "train", "valid_seen" or "valid_unseen".
        task_types: The kinds of tasks; all six where None.
        difficulty: Size of the rooms.
        scenes: "agentgym", or "alfworld" for the floor plans of that package.
        count: How many games; as many as ALFWorld's split has where None.
    """

    def __init__(
        self,
        split: Split,
        task_types: Sequence[TaskType] | None = None,
        difficulty: Difficulty | int | str = "full",
        scenes: str = "agentgym",
        count: int | None = None,
    ) -> None:
        if count is not None and count < 1:
            raise UsageError(f"games must be at least 1, got {count}")
        self._split = split
        self._types = None if task_types is None else tuple(task_types)
        self._difficulty = Difficulty.of(difficulty)
        self._scenes = scenes
        self._count = SIZES[split] if count is None else count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int, /) -> Task:
        game = _generated(index, self._split, self._types, self._difficulty, self._scenes)
        return Task(id=game.id, goal=game.goal_text, data={"game": game.data})

    def find(self, task_id: str) -> int:
        """Return the number that an id carries, if the game of that number has this id."""
        parts = task_id.rpartition("/")[2].split("_")
        number = next((int(part) for part in reversed(parts) if part.isdigit()), -1)
        if 0 <= number < self._count and self[number].id == task_id:
            return number
        raise UnknownNameError(f"generated {self._split.value} game", task_id, [])


class GameFiles:
    """The games of a folder in ALFWorld's layout: `<root>/<task>/<trial>/game.tw-pddl`.

    Skips what ALFWorld skips: trials with a movable receptacle or a sliced object, trials without a
    game file, task types that were not asked for, and games that are marked unsolvable.

    Args:
        root: The folder of a split.
        task_types: The kinds of tasks; all six where None.

    Raises:
        DataError: If the folder holds no such game.
    """

    def __init__(self, root: Path, task_types: Sequence[TaskType] | None = None) -> None:
        wanted = {task_type.value for task_type in task_types or TaskType}
        self._root = root
        self._files = [file for file in sorted(root.rglob("game.tw-pddl")) if _kept(file, wanted)]
        if not self._files:
            raise DataError(
                f"{root} holds no ALFWorld games of these task types; run alfworld-download and "
                f"set ${DATA_VARIABLE}, or use source='generated', which needs no files."
            )
        self._index = {self._id(file): i for i, file in enumerate(self._files)}

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int, /) -> Task:
        file = self._files[index]
        return _file_task(file, self._id(file))

    def find(self, task_id: str) -> int:
        """Return the index of a `<task>/<trial>`."""
        if task_id not in self._index:
            raise UnknownNameError(f"game in {self._root}", task_id, self._index)
        return self._index[task_id]

    def _id(self, file: Path) -> str:
        return file.parent.relative_to(self._root).as_posix()


def single_game(file: str | Path) -> TaskList:
    """Return the task set of one game file.

    Raises:
        DataError: If the file is missing or no game.
    """
    path = Path(file)
    return TaskList([_file_task(path, f"{path.parent.parent.name}/{path.parent.name}")])


def split_folder(split: Split, root: str | Path | None = None) -> Path:
    """Return the folder of a split of ALFWorld's data.

    Args:
        split: The split.
        root: What `$ALFWORLD_DATA` would be; the variable itself where None.

    Raises:
        DataError: If neither says where the data is, or the folder is missing.
    """
    base = root if root is not None else os.environ.get(DATA_VARIABLE)
    if not base:
        raise DataError(
            f"source='alfworld' reads ALFWorld's games from ${DATA_VARIABLE}, which is not set; "
            "set it, pass data=FOLDER, or use source='generated'."
        )
    folder = Path(base) / "json_2.1.1" / split.value
    if not folder.is_dir():
        raise DataError(f"{folder} is missing; run alfworld-download, or check ${DATA_VARIABLE}.")
    return folder


def parse_task_types(names: Iterable[str | int | TaskType] | None) -> tuple[TaskType, ...] | None:
    """Return the task types that names, or ALFWorld's numbers 1 to 6, stand for.

    Raises:
        UnknownNameError: If one is neither.
    """
    if names is None:
        return None
    known = {task_type.value: task_type for task_type in TaskType}
    numbered = dict(enumerate(_NUMBERED, start=1))
    chosen: list[TaskType] = []
    for name in names:
        found = numbered.get(name) if isinstance(name, int) else known.get(str(name))
        if found is None:
            raise UnknownNameError("task type", str(name), [*known, *map(str, numbered)])
        chosen.append(found)
    return tuple(chosen)


# The order of ALFWorld's `task_types: [1, 2, 3, 4, 5, 6]`.
_NUMBERED = (
    TaskType("pick_and_place_simple"),
    TaskType("look_at_obj_in_light"),
    TaskType("pick_clean_then_place_in_recep"),
    TaskType("pick_heat_then_place_in_recep"),
    TaskType("pick_cool_then_place_in_recep"),
    TaskType("pick_two_obj_and_place"),
)


@lru_cache(maxsize=512)
def _generated(
    index: int,
    split: Split,
    task_types: tuple[TaskType, ...] | None,
    difficulty: Difficulty,
    scenes: str,
) -> GeneratedGame:
    # Shared by every environment of the process: a group of rollouts asks for its game eight times.
    return generate(index, split=split, task_types=task_types, difficulty=difficulty, scenes=scenes)


def _kept(file: Path, wanted: set[str]) -> bool:
    folder = file.parent
    if "movable" in str(folder) or "Sliced" in str(folder):
        return False
    trajectory = folder / "traj_data.json"
    if not trajectory.exists() or _read(trajectory).get("task_type") not in wanted:
        return False
    return bool(_read(file).get("solvable", False))


def _file_task(file: Path, task_id: str) -> Task:
    data = _read(file)
    goal = str(data.get("grammar", "")).partition("Your task is to: ")[2]
    return Task(id=task_id, goal=goal.partition(".")[0].strip(), data={"game": data})


def _read(file: Path) -> dict[str, Any]:
    try:
        value: object = orjson.loads(file.read_bytes())
    except OSError as fault:
        raise DataError(f"{file}: {fault.strerror or fault}") from fault
    except orjson.JSONDecodeError as fault:
        raise DataError(f"{file} is not valid JSON: {fault}") from fault
    if not isinstance(value, dict):
        raise DataError(f"{file} holds no game: expected a JSON object")
    return cast("dict[str, Any]", value)
