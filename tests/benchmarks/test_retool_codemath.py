"""The learning benchmark of ReTool runs from end to end, and prints a table of what it measured."""

import json
from pathlib import Path
from typing import Any

import pytest
import retool_codemath
import seeds


@pytest.mark.integration
@pytest.mark.parametrize("arm", retool_codemath.ARMS)
def test_an_arm_imitates_learns_and_is_looked_at(
    arm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retool_codemath, "EPISODES", 4)

    def train(algorithm: str, folder: Path, model: Path, settings: dict[str, Any]) -> list[Path]:
        few = {"tasks_per_step": 2, "group_size": 2} if algorithm == "retool" else {}
        return seeds.train(algorithm, folder, model, settings | few)

    monkeypatch.setattr(retool_codemath, "train", train)
    row = retool_codemath.learn(str(tmp_path), 0, arm, 2, 2)
    assert (row.arm, row.seed) == (arm, 0)
    assert all(0 <= value <= 1 for value in (row.cold, row.early, row.trained))
    assert row.calls <= retool_codemath.ARMS[arm].max_turns


def test_the_table_compares_early_retool_with_late_text(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        retool_codemath.Row(0, "retool", 0.3, 0.8, 0.9, 0.02, 1.0, 0.9, 1.0),
        retool_codemath.Row(0, "text only", 0.0, 0.0, 0.1, 0.02, 0.0, 0.0, 1.0),
        retool_codemath.Row(1, "retool", 0.5, 0.6, 0.7, 0.02, 1.0, 0.9, 1.0),
        retool_codemath.Row(1, "text only", 0.0, 0.0, 0.1, 0.02, 0.0, 0.0, 1.0),
    ]
    retool_codemath.table(rows, 60)
    printed = capsys.readouterr().out
    assert "after 24 steps is ahead of text only after 60 by 60.0 ± 14.1 points" in printed


def test_what_is_finished_is_written(tmp_path: Path) -> None:
    row = retool_codemath.Row(0, "retool", 0.3, 0.8, 0.9, 0.02, 1.0, 0.9, 1.0)
    seeds.write_result(tmp_path, [row])
    assert json.loads((tmp_path / "result.json").read_text())["rows"][0]["trained"] == 0.9
