"""A run's directory: made once, never over another one, and picked up again."""

import json
import os

import pytest
from pydantic import Field

from agentgym.config import Config, load
from agentgym.errors import DataError, UsageError
from agentgym.run_dir import RunDir


class Optimizer(Config):
    lr: float = 1e-6
    betas: tuple[float, float] = (0.9, 0.95)


class Settings(Config):
    steps: int = 10
    optimizer: Optimizer = Optimizer()
    options: dict[str, int] = Field(default_factory=dict)


def test_a_run_is_made_and_opened(tmp_path):
    run = RunDir.create(
        tmp_path / "a" / "run", command="train arpo", config=Settings(), meta={"env": "x"}
    )
    assert run.trajectories.is_dir()
    assert run.checkpoints.is_dir()
    assert load(Settings, [run.config_file]) == Settings()
    opened = RunDir.open(run.path)
    assert opened.info == run.info
    assert opened.info.meta == {"env": "x"}
    assert opened.info.versions["agentgym-suite"]
    assert opened.metrics_file == run.path / "metrics.jsonl"


def test_another_run_is_not_written_over(tmp_path):
    RunDir.create(tmp_path / "run", command="train arpo", config=Settings())
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "run").rglob("*"))
    with pytest.raises(UsageError, match=r"already holds a run \(`train arpo`, begun .*resume it"):
        RunDir.create(tmp_path / "run", command="eval", config=Settings(steps=3))
    after = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "run").rglob("*"))
    assert before == after


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="is not empty and holds no run"):
        RunDir.create(tmp_path, command="eval")
    with pytest.raises(UsageError, match="is not empty and holds no run"):
        RunDir.create(tmp_path / "thesis.tex", command="eval")
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_run_is_resumed(tmp_path):
    RunDir.create(tmp_path, command="train arpo", config=Settings())
    longer = Settings(steps=20)
    run = RunDir.resume(tmp_path, command="train arpo", config=longer, may_differ=("steps",))
    assert len(run.info.resumed) == 1
    assert load(Settings, [run.config_file]) == longer
    assert len(RunDir.resume(tmp_path, command="train arpo").info.resumed) == 2


def test_a_run_is_not_resumed_as_another_one(tmp_path):
    run = RunDir.create(tmp_path, command="train arpo", config=Settings())
    changed = Settings(steps=20, optimizer=Optimizer(lr=1e-3))
    with pytest.raises(UsageError, match=r"optimizer.lr was 1e-06 and is now 0.001$"):
        RunDir.resume(tmp_path, command="train arpo", config=changed, may_differ=("steps",))
    with pytest.raises(UsageError, match="made by `train arpo`, not by `train grpo`"):
        RunDir.resume(tmp_path, command="train grpo", config=Settings())
    assert RunDir.open(tmp_path).info == run.info
    assert load(Settings, [run.config_file]) == Settings()


def test_an_option_that_was_not_there_is_a_change(tmp_path):
    RunDir.create(tmp_path, command="eval", config=Settings(options={"a": 1}))
    with pytest.raises(UsageError, match=r"options.b was None and is now 2$"):
        RunDir.resume(tmp_path, command="eval", config=Settings(options={"a": 1, "b": 2}))


def test_a_key_that_is_new_since_then_has_its_default(tmp_path):
    run = RunDir.create(tmp_path, command="eval", config=Settings())
    run.config_file.write_text("steps: 10\noptimizer: {lr: 1.0e-6}\n")
    RunDir.resume(tmp_path, command="eval", config=Settings())
    assert load(Settings, [run.config_file]) == Settings()


def test_a_run_that_was_killed_while_it_was_made_can_be_resumed(tmp_path):
    run = RunDir.create(tmp_path, command="train arpo", config=Settings())
    run.config_file.unlink()
    run.checkpoints.rmdir()
    resumed = RunDir.resume(tmp_path, command="train arpo", config=Settings())
    assert load(Settings, [resumed.config_file]) == Settings()
    assert resumed.checkpoints.is_dir()


def test_what_is_no_run_is_said(tmp_path):
    with pytest.raises(DataError, match=r"holds no run: run\.json: No such file"):
        RunDir.open(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(DataError, match="is not what agentgym writes"):
        RunDir.open(tmp_path)


def test_a_run_of_a_newer_agentgym_is_refused(tmp_path):
    run = RunDir.create(tmp_path, command="eval")
    values = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**values, "format": 2, "new": 1}))
    with pytest.raises(DataError, match="made by a newer agentgym"):
        RunDir.open(tmp_path)
