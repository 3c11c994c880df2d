"""Games that the tests play: one written by hand, and the real ones where they are at hand."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agentgym.envs.alfworld.generator import generate

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data" / "alfworld"
GAMES = Path(__file__).parents[1] / "envs" / "alfworld" / "engine" / "games"


def workshop(**changes: str) -> dict[str, Any]:
    """Return the hand-written game, with some of its texts replaced."""
    return {
        "pddl_domain": (GAMES / "workshop.pddl").read_text(),
        "grammar": (GAMES / "workshop.twl2").read_text(),
        "pddl_problem": (GAMES / "workshop_problem.pddl").read_text(),
        "solvable": True,
        "walkthrough": [],
        **changes,
    }


def crowded(seed: int) -> dict[str, Any]:
    """Return a generated game with all its places on one spot, which shows the oddest texts."""
    data = dict(generate(seed, difficulty=1).data)
    problem = str(data["pddl_problem"])
    spots = re.findall(r"\(receptacleAtLocation \S+ (\S+?)\)", problem)
    for spot in spots:
        problem = re.sub(rf"(AtLocation \S+) {spot}\)", rf"\1 {spots[0]})", problem)
    return {**data, "pddl_problem": problem}


def shared_game(name: str) -> Path:
    """Return a real game's file; where it is not at hand, skip and say so."""
    path = SHARED / name / "game.tw-pddl"
    if not path.exists():
        pytest.skip(f"the real game {name} is not at hand: no {path}")
    return path


def parity() -> ModuleType:
    """Return benchmarks/alfworld_parity.py, which is a script and not in a package."""
    path = ROOT / "benchmarks" / "alfworld_parity.py"
    spec = importlib.util.spec_from_file_location("alfworld_parity", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault(spec.name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module
