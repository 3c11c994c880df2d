"""The stages of the demo at a fraction of their size; what they teach is measured elsewhere."""

from pathlib import Path

import pytest

from agentgym.demo.stages import Stages, environment, plot_curve, success_curve
from agentgym.errors import UsageError
from agentgym.progress import Display
from agentgym.store import Store

pytestmark = pytest.mark.integration


def test_the_stages_follow_each_other(tmp_path: Path) -> None:
    told: list[str] = []
    stages = Stages(tmp_path / "demo", seed=3, display=Display.OFF, tell=told.append)
    small = ("steps=2", "checkpoint.every=2")
    imitator = stages.train("sft", stages.build(), "sft", *small, "demonstrations.episodes=8")
    cold = stages.evaluate(imitator, "eval-cold", episodes=6)
    learner = stages.train("arpo", imitator, "arpo", *small, "tasks_per_step=2", "group_size=2")
    trained = stages.evaluate(learner, "eval-trained", episodes=6)
    assert cold.episodes == trained.episodes == 6
    assert [line.split(":")[0] for line in told[1:]] == ["sft", "arpo"]
    curve = success_curve(tmp_path / "demo" / "arpo")
    assert len(curve) == 2
    plot = plot_curve(curve, cold, trained, tmp_path / "curve.png")
    assert plot is not None
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_evaluation_repeats_itself_on_unseen_rooms(tmp_path: Path) -> None:
    stages = Stages(tmp_path / "demo", display=Display.OFF, tell=lambda _: None)
    model = stages.build()
    for name in ("once", "again"):
        stages.evaluate(model, name, episodes=4)
    once, again = (
        sorted(
            (t.task_id, t.seed, [turn.action for turn in t.turns])
            for t in Store.open(tmp_path / "demo" / name).trajectories()
        )
        for name in ("once", "again")
    )
    assert once == again
    assert len(once) == 4
    assert all("valid_unseen" in task for task, *_ in once)


def test_no_game_is_played_twice_in_an_evaluation(tmp_path: Path) -> None:
    stages = Stages(tmp_path / "demo", display=Display.OFF, tell=lambda _: None)
    stages.evaluate(stages.build(), "eval", episodes=140)  # ALFWorld's own split has 134
    played = [t.task_id for t in Store.open(tmp_path / "demo" / "eval").trajectories()]
    assert len(set(played)) == len(played) == 140


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="not empty"):
        Stages(tmp_path)


def test_the_environment_is_that_of_training() -> None:
    env, kwargs = environment()
    assert env == "agentgym/ALFWorld-v0"
    assert kwargs["difficulty"] == "tiny"
