"""The trainers end to end on a toy: every algorithm steps, and ARPO keeps its invariants."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import ON_POLICY, SMALL, make_trainer, tiny_folder

from agentgym.metrics import read_metrics
from agentgym.stop_reason import StopReason
from agentgym.store import Store
from agentgym.trajectory import Trajectory

ON_POLICY_ALGORITHMS = (
    "grpo",
    "dr_grpo",
    "dapo",
    "gspo",
    "rloo",
    "reinforce_pp",
    "ppo",
    "arpo",
    "retool",
    "filtered_bc",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model"))


def weights(trainer: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.learner.parameters])


@pytest.mark.integration
@pytest.mark.parametrize("algorithm", ON_POLICY_ALGORITHMS)
def test_two_steps_leave_metrics_trajectories_and_a_checkpoint(
    algorithm: str, model: Path, tmp_path: Path
) -> None:
    # Rewards of a policy that knows nothing are all 0; a penalty gives every algorithm something.
    given = ["format_penalty=0.5", "loss.entropy_coef=0.01"]
    given += ["dynamic_rounds=1"] * (algorithm == "dapo")
    trainer = make_trainer(algorithm, model, tmp_path / "run", ON_POLICY, *given)
    before = weights(trainer)
    trainer.train()
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2]
    assert all(math.isfinite(row["rollout/reward"]) for row in rows)
    assert not torch.equal(weights(trainer), before)
    assert [c.name for c in sorted((tmp_path / "run" / "checkpoints").iterdir())] == [
        "step-000001",
        "step-000002",
    ]
    stored = list(Store.open(tmp_path / "run"))
    assert len(stored) >= 12
    assert {turn.policy_version for t in stored for turn in t.turns} == {0, 1}


@pytest.mark.integration
@pytest.mark.parametrize("level", ["turn", "bilevel"])
def test_ppo_judges_turns_too(level: str, model: Path, tmp_path: Path) -> None:
    given = ["format_penalty=0.5", f"gae.level={level}", "update.minibatches=2"]
    trainer = make_trainer("ppo", model, tmp_path / "run", ON_POLICY, *given)
    head = trainer.learner.value_head.linear.weight.detach().clone()
    trainer.train()
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert all(row["critic/squared_error"] > 0 for row in rows)
    assert not torch.equal(trainer.learner.value_head.linear.weight, head)


@pytest.mark.integration
def test_imitation_makes_the_expert_likelier(model: Path, tmp_path: Path) -> None:
    base = SMALL | {"steps": 12, "batch_size": 8, "demonstrations": {"episodes": 16}}
    trainer = make_trainer("sft", model, tmp_path / "run", base, "optimizer.lr=1e-2")
    trainer.train()
    losses = [row["loss/policy"] for row in read_metrics(tmp_path / "run" / "metrics.jsonl")]
    assert losses[-1] < 0.5 * losses[0]


@pytest.fixture
def group(model: Path, tmp_path: Path) -> list[Trajectory]:
    """Six real episodes of two groups, all failed."""
    make_trainer("grpo", model, tmp_path / "source", ON_POLICY, "steps=1").train()
    episodes = list(Store.open(tmp_path / "source"))
    for episode in episodes:
        episode.task_id = "task"
        episode.stop_reason = StopReason.TURN_LIMIT
        for turn in episode.turns:
            turn.reward = 0.0
    return sorted(episodes, key=lambda t: t.group_id)


def paid(episode: Trajectory, reward: float) -> Trajectory:
    turns = [replace(turn) for turn in episode.turns]
    turns[-1].reward = reward
    return replace(episode, turns=turns)


def arpo(model: Path, run: Path, *given: str) -> Any:
    return make_trainer("arpo", model, run, ON_POLICY, *given)


@pytest.mark.integration
def test_without_replay_arpo_is_grpo_with_its_clips(
    model: Path, tmp_path: Path, group: list[Trajectory]
) -> None:
    batch = [paid(t, float(i % 3 == 0)) for i, t in enumerate(group)]
    ours = arpo(model, tmp_path / "a", "replay.enabled=false")
    theirs = make_trainer("grpo", model, tmp_path / "g", ON_POLICY, "loss.kl_coef=0")
    theirs.config = theirs.config.model_copy(update={"loss": ours.config.loss})
    served, _ = ours.choose(batch)
    assert ours.learn(served)["loss/policy"] == theirs.learn(batch)["loss/policy"]
    assert torch.equal(weights(ours), weights(theirs))


@pytest.mark.integration
def test_an_all_fail_batch_with_an_empty_buffer_changes_nothing(
    model: Path, tmp_path: Path, group: list[Trajectory]
) -> None:
    trainer = arpo(model, tmp_path / "run")
    before = weights(trainer)
    served, metrics = trainer.choose(group)
    assert metrics["replay/failed_groups"] == 2
    assert trainer.learn(served) == {"optim/skipped_batches": 1.0}
    assert torch.equal(weights(trainer), before)


@pytest.mark.integration
def test_a_stored_success_gives_an_all_fail_group_a_gradient(
    model: Path, tmp_path: Path, group: list[Trajectory]
) -> None:
    trainer = arpo(model, tmp_path / "run")
    trainer.choose([paid(group[0], 1.0), *group[1:]])
    before = weights(trainer)
    served, metrics = trainer.choose(group)
    assert metrics["replay/rescued_groups"] == 2
    assert len(served) == len(group)
    learnt = trainer.learn(served)
    assert learnt["optim/skipped_batches"] == 0
    assert learnt["optim/grad_norm"] > 0
    assert not torch.equal(weights(trainer), before)


@pytest.mark.integration
def test_a_broken_member_changes_nobody_elses_gradient(
    model: Path, tmp_path: Path, group: list[Trajectory]
) -> None:
    batch = [paid(t, float(i % 3 == 0)) for i, t in enumerate(group)]
    broken = replace(paid(batch[0], 50.0), stop_reason=StopReason.INFRA_ERROR)
    alone, beside = arpo(model, tmp_path / "a"), arpo(model, tmp_path / "b")
    alone.learn(batch)
    beside.learn([broken, *batch])
    assert torch.equal(weights(alone), weights(beside))


@pytest.mark.integration
def test_the_filter_keeps_the_tasks_that_are_sometimes_solved(model: Path, tmp_path: Path) -> None:
    given = ["task_filter.probes=2", "task_filter.at_most=1.0", "steps=1"]
    trainer = arpo(model, tmp_path / "run", *given)
    with pytest.raises(Exception, match="None of 6 tasks is solved"):
        trainer.train()


@pytest.mark.integration
def test_filtered_cloning_ranks_by_what_is_left_after_penalties(
    model: Path, tmp_path: Path, group: list[Trajectory]
) -> None:
    clean, wrong = paid(group[0], 1.0), paid(group[1], 1.0)
    clean.turns = [replace(turn, action_error=None) for turn in clean.turns]
    wrong.turns[0].action_error = "No such command."
    given = ["format_penalty=0.5", "top=0.5"]
    trainer = make_trainer("filtered_bc", model, tmp_path / "run", ON_POLICY, *given)
    chosen, metrics = trainer.choose([wrong, clean])
    assert [t.id for t in chosen] == [clean.id]
    assert metrics["filter/passing"] == 1
