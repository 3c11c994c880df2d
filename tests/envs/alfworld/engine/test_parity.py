"""The engine beside TextWorld: every string that a player can see."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from alfworld_games import ROOT, crowded, parity, shared_game, workshop

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _upstream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))  # or importing it makes ~/.cache/alfworld
    monkeypatch.setattr(sys, "argv", list(sys.argv))  # its PDDL translator overwrites it
    pytest.importorskip("alfworld")
    pytest.importorskip("textworld")


@pytest.mark.parametrize("seed", range(3))
def test_the_workshop(tmp_path: Path, seed: int):
    path = tmp_path / "workshop" / "game.tw-pddl"
    path.parent.mkdir()
    path.write_text(json.dumps(workshop()))
    report = parity().play_both(path, seed, steps=60)
    assert report.differences == []
    assert report.steps == 60


def test_places_on_one_spot(tmp_path: Path):
    path = tmp_path / "crowded" / "game.tw-pddl"
    path.parent.mkdir()
    path.write_text(json.dumps(crowded(1)))
    report = parity().play_both(path, 1, steps=40, expert=False)
    assert report.differences == []


@pytest.mark.parametrize("name", ["tiny_apple", "single_agent_potato", "alfworld_multi-agent-poc"])
def test_real_games(name: str):
    report = parity().play_both(shared_game(name), seed=0, steps=12)
    assert report.differences == []
    assert report.strings > 50


@pytest.mark.slow
@pytest.mark.alone  # it plays on every core
@pytest.mark.timeout(1200)
def test_forty_generated_games():
    script = ROOT / "benchmarks" / "alfworld_parity.py"
    run = subprocess.run(
        [sys.executable, str(script), "--games", "40"],
        capture_output=True,
        text=True,
        timeout=1100,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "40 games" in run.stdout
