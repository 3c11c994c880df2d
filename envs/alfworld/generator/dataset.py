"""Games as files, in the folders and with the companions that ALFWorld's own code looks for.

A data set is `<root>/json_2.1.1/<split>/<task>/<trial>/` with three files each: the game
(game.tw-pddl), the problem alone (initial_state.pddl) and what the task is (traj_data.json), which
`AlfredTWEnv` filters by and its expert reads. Point $ALFWORLD_DATA at the root to use it from
there.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from agentgym.envs.alfworld.generator.difficulty import Difficulty
from agentgym.envs.alfworld.generator.game import (
    Domain,
    GeneratedGame,
    SceneSource,
    Solver,
    generate,
)
from agentgym.envs.alfworld.generator.goals import TaskType
from agentgym.envs.alfworld.generator.scenes import Split

_LAYOUT = "json_2.1.1"


def traj_data(game: GeneratedGame) -> dict[str, Any]:
    """Return what ALFWorld keeps about a game beside it, as far as a text game has it."""
    look = game.goal.task_type is TaskType.LOOK
    return {
        "task_id": game.id.partition("/")[2],
        "task_type": game.task_type,
        "pddl_params": {
            "object_target": game.goal.object_kind,
            "object_sliced": False,
            "parent_target": "" if look else game.goal.place_kind,
            "toggle_target": game.goal.place_kind if look else "",
            "mrecep_target": "",
        },
        "scene": {"floor_plan": f"FloorPlan{game.scene}", "scene_num": game.scene},
        "turk_annotations": {
            "anns": [{"task_desc": f"{game.goal_text.capitalize()}.", "high_descs": []}]
        },
    }


def write_game(game: GeneratedGame, folder: Path | str) -> Path:
    """Write a game and its companions into a folder, which is made if need be.

    Returns:
        The path of the game file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "traj_data.json").write_text(json.dumps(traj_data(game), indent=1) + "\n")
    (folder / "initial_state.pddl").write_text(game.data["pddl_problem"])
    path = folder / "game.tw-pddl"
    path.write_text(json.dumps(game.data))
    return path


def write_dataset(
    root: Path | str,
    *,
    train: int = 0,
    valid_seen: int = 0,
    valid_unseen: int = 0,
    task_types: Iterable[TaskType | str] | None = None,
    difficulty: Difficulty | int | str = "full",
    scenes: SceneSource | str = SceneSource.AGENTGYM,
    domain: Domain | str = Domain.AGENTGYM,
    walkthrough: Solver | None = None,
) -> Iterator[Path]:
    """Write the first games of each split, one per step of the iterator.

    Args:
        root: The folder that becomes $ALFWORLD_DATA.
        train: How many training games.
        valid_seen: How many held-out games in scenes that training shows.
        valid_unseen: How many games in scenes that training never shows.
        task_types: As in `generate`.
        difficulty: As in `generate`.
        scenes: As in `generate`.
        domain: As in `generate`.
        walkthrough: As in `generate`.

    Yields:
        The path of each game file.
    """
    types = None if task_types is None else tuple(task_types)
    counts = {Split.TRAIN: train, Split.VALID_SEEN: valid_seen, Split.VALID_UNSEEN: valid_unseen}
    for split, count in counts.items():
        for index in range(count):
            game = generate(
                index,
                split=split,
                task_types=types,
                difficulty=difficulty,
                scenes=scenes,
                domain=domain,
                walkthrough=walkthrough,
            )
            yield write_game(game, Path(root) / _LAYOUT / split.value / game.id)
