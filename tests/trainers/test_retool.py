"""ReTool: what a failed effort earns, what is told of the tool, and both baselines at work."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import ON_POLICY, make_trainer, tiny_folder
from training_cases import trajectory

from agentgym.config import load
from agentgym.errors import ConfigError
from agentgym.metrics import read_metrics
from agentgym.stop_reason import StopReason
from agentgym.trainers.batch import TurnTable
from agentgym.trainers.retool import ReTool, ReToolConfig, tool_metrics

BASE = {"model": {"path": "x"}, "env": {"id": "x"}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model"))


def configured(*given: str) -> ReToolConfig:
    return load(ReToolConfig, [], list(given), BASE)


def bare(config: ReToolConfig) -> ReTool:
    """A trainer without a model, of which only pure methods are called."""
    trainer = object.__new__(ReTool)
    trainer.config = config
    return trainer


def ended(turns: int, reward: float, stop: StopReason = StopReason.FAILURE) -> Any:
    played = trajectory([0.0] * (turns - 1) + [reward], stop=stop, seed=turns)
    return replace(played, success=reward > 0)


def test_an_effort_makes_failure_less_bad_up_to_four_turns() -> None:
    played = [ended(k, -1.0) for k in (1, 2, 3, 5, 9)]
    played.append(ended(3, 1.0, StopReason.SUCCESS))
    table = bare(configured("effort_bonus=0.1")).shape(TurnTable.of(played), played)
    totals = table.sum_N(table.reward_K).tolist()
    assert totals == pytest.approx([-1.0, -0.9, -0.8, -0.6, -0.6, 1.0])


def test_no_effort_counts_unless_it_is_asked_for() -> None:
    played = [ended(5, -1.0)]
    table = bare(configured()).shape(TurnTable.of(played), played)
    assert table.sum_N(table.reward_K).tolist() == [-1.0]


def test_what_a_limit_cut_short_is_a_wrong_answer() -> None:
    played = [
        ended(2, 0.0, StopReason.TOKEN_LIMIT),
        ended(3, -1.0, StopReason.TURN_LIMIT),
        ended(2, 0.0, StopReason.FAILURE),
        ended(2, 1.0, StopReason.SUCCESS),
    ]
    table = bare(configured()).shape(TurnTable.of(played), played)
    assert table.sum_N(table.reward_K).tolist() == [-1.0, -1.0, 0.0, 1.0]
    assert not table.truncated_N.any()
    table = bare(configured("cut_short_reward=null")).shape(TurnTable.of(played), played)
    assert table.sum_N(table.reward_K).tolist() == [0.0, -1.0, 0.0, 1.0]
    assert table.truncated_N.tolist() == [True, True, False, False]


def test_the_tool_is_told_of_over_sound_episodes() -> None:
    figures = [
        {"code_calls": 3.0, "code_passed": 2.0, "code_chars": 30.0, "code_mended": 1.0},
        {"code_calls": 1.0, "code_passed": 0.0, "code_chars": 10.0, "code_mended": 0.0},
        {"code_calls": 0.0, "code_passed": 0.0, "code_chars": 0.0, "code_mended": 0.0},
    ]
    played = [replace(ended(2, -1.0), metrics=each) for each in figures]
    lost = replace(ended(2, -1.0, StopReason.INFRA_ERROR), metrics=figures[0])
    assert tool_metrics([*played, lost]) == {
        "tools/calls": pytest.approx(4 / 3),
        "tools/used": pytest.approx(2 / 3),
        "tools/passed": 0.5,
        "tools/code_length": 10.0,
        "tools/corrected": 0.5,
    }


def test_an_environment_without_an_interpreter_has_no_such_figures() -> None:
    assert tool_metrics([ended(2, -1.0)]) == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["baseline=group", "group_size=1"], "group_size >= 2"),
        (["baseline=group", "group_size=4", "gae.lam=0.9"], "set advantage"),
        (["advantage.estimator=leave_one_out"], "set gae"),
    ],
)
def test_settings_that_do_nothing_are_refused(given: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        configured(*given)


def test_the_recipes_preset_is_a_valid_configuration() -> None:
    config = load(ReToolConfig, [], [], BASE | dict(ReTool.presets["recipe"]))
    assert (config.loss.clip_high, config.loss.dual_clip) == (0.28, 10.0)
    assert config.baseline == "group"


@pytest.mark.integration
@pytest.mark.parametrize("baseline", ["critic", "group"])
def test_either_baseline_changes_the_policy(baseline: str, model: Path, tmp_path: Path) -> None:
    # A policy that knows nothing always fails, and equal failures teach a group nothing.
    given = [f"baseline={baseline}", "loss.entropy_coef=0.01"]
    trainer = make_trainer("retool", model, tmp_path / "run", ON_POLICY, *given)
    before = torch.cat([p.detach().flatten() for p in trainer.learner.parameters])
    trainer.train()
    after = torch.cat([p.detach().flatten() for p in trainer.learner.parameters])
    assert not torch.equal(before, after)
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert all(("critic/error" in row) == (baseline == "critic") for row in rows)
