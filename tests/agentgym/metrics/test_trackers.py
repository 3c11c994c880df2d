"""Trackers: TensorBoard for real; wandb and trackio where they are installed, and as documented."""

import sys
from types import ModuleType

import pytest

from agentgym.config import Config
from agentgym.errors import MissingDependencyError
from agentgym.metrics import MetricsLog, open_tracker
from agentgym.run_dir import RunDir


class Settings(Config):
    lr: float = 0.5


@pytest.fixture
def run(tmp_path):
    return RunDir.create(tmp_path / "nice-run", command="train arpo", config=Settings())


def curve(folder, name):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


@pytest.mark.integration
def test_tensorboard_shows_the_curve(run):
    with MetricsLog(run.metrics_file, trackers=[open_tracker("tensorboard", run)]) as log:
        for step in range(3):
            log.log(step, {"rollout/success": step / 4, "loss/policy": float("nan")})
    assert curve(run.path / "tensorboard", "rollout/success") == [(0, 0.0), (1, 0.25), (2, 0.5)]
    assert curve(run.path / "tensorboard", "metrics/nonfinite") == [(0, 1.0), (1, 1.0), (2, 1.0)]


@pytest.mark.integration
def test_tensorboard_forgets_what_a_resumed_run_does_again(run):
    for resume_step, steps in ((None, range(4)), (1, range(2, 5))):
        tracker = open_tracker("tensorboard", run, resume_step=resume_step)
        for step in steps:
            tracker.log(step, {"a/b": step if resume_step is None else step * 10})
        tracker.close()
    assert curve(run.path / "tensorboard", "a/b") == [(0, 0), (1, 1), (2, 20), (3, 30), (4, 40)]


def test_tensorboard_needs_no_torch():
    import subprocess

    code = (
        "import sys, tempfile; from agentgym.metrics.trackers import TensorBoard\n"
        "TensorBoard(tempfile.mkdtemp()).close(); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("kind", ["tensorboard", "wandb", "trackio"])
def test_a_missing_tracker_names_its_extra(run, monkeypatch, kind):
    monkeypatch.setitem(sys.modules, kind, None)
    for module in [name for name in sys.modules if name.startswith(f"{kind}.")]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf"agentgym-suite\[{kind}\]"):
        open_tracker(kind, run)


@pytest.mark.parametrize("kind", ["wandb", "trackio"])
def test_a_client_gets_the_run_and_its_figures(run, monkeypatch, kind):
    calls = []

    class Client:
        def log(self, values, step=None):
            calls.append(("log", values, step))

        def finish(self):
            calls.append(("finish",))

    def init(**given):
        calls.append(("init", given))
        return Client()

    module = ModuleType(kind)
    module.init = init
    monkeypatch.setitem(sys.modules, kind, module)
    tracker = open_tracker(kind, run)
    tracker.log(3, {"a/b": 1.0})
    tracker.close()
    started, *rest = calls
    expected = {"project": "agentgym", "config": {"lr": 0.5}, "resume": "allow"}
    assert started[1].items() >= expected.items()
    assert started[1]["name"].startswith("nice-run")
    assert rest == [("log", {"a/b": 1.0}, 3), ("finish",)]


@pytest.mark.integration
def test_trackio_for_real(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio")
    for steps in (range(2), range(2, 4)):
        tracker = open_tracker("trackio", run)
        for step in steps:
            tracker.log(step, {"a/b": step / 2})
        tracker.close()
    from trackio.sqlite_storage import SQLiteStorage

    (name,) = {row.name for row in trackio.Api().runs("agentgym")}
    rows = SQLiteStorage.get_logs("agentgym", name)
    assert [(row["step"], row["a/b"]) for row in rows] == [(0, 0.0), (1, 0.5), (2, 1.0), (3, 1.5)]


@pytest.mark.integration
def test_wandb_for_real(run, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    tracker = open_tracker("wandb", run)
    tracker.log(0, {"a/b": 1.0})
    tracker.close()
    (written,) = (run.path / "wandb").glob("offline-run-*")
    assert run.info.id in written.name
    assert list(written.glob("*.wandb"))
