"""The 120 floor plans of the `alfworld` package as scenes.

A plan says where each receptacle stands and from where it is reached, which kinds of things are in
the room, and nothing about how many. Receptacles keep the ids of the plan, so they are numbered as
in ALFWorld; two that are reached from one spot share a location. Kinds that the plan names without
a position get the usual number of them, each at a place of its own.
"""

import importlib.util
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from agentgym.envs.alfworld.generator.scenes import Furniture, Room, Scene, stock_table
from agentgym.envs.alfworld.generator.vocabulary import RECEPTACLES
from agentgym.errors import DataError, MissingDependencyError

_ESCAPES = str.maketrans({"|": "_bar_", "+": "_plus_", "-": "_minus_", ".": "_dot_"})
_GRID = 0.25  # metres between two neighbouring spots where an agent can stand
_UNPLACED_COUNTS = {"StoveBurner": 4}


@cache
def package_folder() -> Path:
    """Return the folder of the installed `alfworld` package, without importing it.

    Raises:
        MissingDependencyError: It is not installed.
    """
    spec = importlib.util.find_spec("alfworld")
    if spec is None or spec.origin is None:
        raise MissingDependencyError("alfworld", "alfworld")
    return Path(spec.origin).parent


@cache
def floor_plan(number: int) -> Scene:
    """Return the floor plan with this number as a scene.

    Raises:
        MissingDependencyError: The `alfworld` package is not installed.
        DataError: The package lacks the plan.
    """
    stem = package_folder() / "gen" / "layouts" / f"FloorPlan{number}"
    try:
        poses: Mapping[str, list[float]] = json.loads(Path(f"{stem}-openable.json").read_text())
        kinds = set(json.loads(Path(f"{stem}-objects.json").read_text()))
    except FileNotFoundError as error:
        raise DataError(
            f"The installed alfworld package lacks {error.filename}; reinstall alfworld."
        ) from None
    room = Room(number // 100 * 100)
    placed = [
        Furniture(_kind(name), name.translate(_ESCAPES), _location(*pose))
        for name, pose in sorted(poses.items())
        if _kind(name) in RECEPTACLES
    ]
    missing = sorted(kinds & RECEPTACLES.keys() - {item.kind for item in placed})
    unplaced = [Furniture(kind) for kind in missing for _ in range(_UNPLACED_COUNTS.get(kind, 1))]
    stock = tuple(row for row in stock_table(room) if row.kind in kinds)
    return Scene(number, room, (*placed, *unplaced), stock)


def _kind(name: str) -> str:
    """Return the kind in a plan's name: "Sink|-01.90|+00.97|-01.50|SinkBasin" is a SinkBasin."""
    # ALFWorld names whatever has a basin after the thing that holds it, and so do we.
    return name.partition("|")[0] + ("Basin" if "Basin" in name else "")


def _location(x: float, z: float, rotation: float, horizon: float) -> str:
    """Write a pose as ALFRED does: grid steps, quarter turns, degrees."""
    steps = (round(x / _GRID), round(z / _GRID), round(rotation / 90), round(horizon))
    return "|".join(("loc", *map(str, steps))).translate(_ESCAPES)
