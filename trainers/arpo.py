"""ARPO: group-relative policy optimisation with success replay (arXiv 2505.16282; GUI agents).

Not RUC's "Agentic Reinforced Policy Optimization" (arXiv 2507.19849), which branches rollouts by
entropy.

    A_i  = (R_i - mean(R)) / (std(R) + eps)          whole trajectory = one output; R with format
    penalty loss = GRPO's, clip 0.2 … 0.3, dual clip 3, no KL term, no reference model

On hard tasks every rollout of a group fails, and GRPO's advantages are 0. ARPO keeps up to 8 past
successes per task; where a fresh group fails altogether it puts one of them in the place of the
group's first rollout. With G = 8 the success then has advantage 2.475 and each failure -0.354.
Tasks that the first policy never solves are left out of training (`task_filter`).

| | paper and released code | ours |
|---|---|---|
| replayed row's ratio | as if the current policy sampled it | truncated pi_old / mu |
| replay can be turned off | the switch is never read | `replay.enabled` |
| environment errors | reward 0, trained on | in neither loss nor statistics |
| aggregation | called token-level; micro-batches of one make it | sequence mean of token means |
| malformed action | reward less 0.5, and the episode ends | `format_penalty`; a message, go on |
| loss mask | covers the assistant header, never sampled | sampled tokens only |
| optimiser steps per batch | 2 | `update.minibatches`, 1 |

The `paper` preset sets what is a setting of these: the replayed ratio, the penalty of 0.5, 2 steps.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from agentgym.config import Config
from agentgym.errors import UsageError
from agentgym.run_dir import RunDir
from agentgym.trainers.advantages import AdvantageConfig
from agentgym.trainers.losses import PolicyLossConfig
from agentgym.trainers.policy_gradient import PolicyGradientConfig, PolicyGradientTrainer
from agentgym.trainers.replay import ReplayConfig, SuccessReplay
from agentgym.trainers.sampler import TaskSampler
from agentgym.trainers.settings import ALGORITHMS, published
from agentgym.trajectory import Trajectory


class TaskFilterConfig(Config):
    """Which tasks are trained on: those that the first policy solves sometimes (section 4.3)."""

    probes: int = Field(
        default=0, ge=0, description="episodes per task before training; 0: no filter"
    )
    above: float = Field(
        default=0.0, ge=0, le=1, description="a task is kept if its success is above this"
    )
    at_most: float = Field(default=1.0, ge=0, le=1, description="… and at most this")


class ARPOConfig(PolicyGradientConfig):
    """Settings of ARPO."""

    loss: PolicyLossConfig = ALGORITHMS["arpo"].loss
    advantage: AdvantageConfig = ALGORITHMS["arpo"].advantage or AdvantageConfig()
    replay: ReplayConfig = ReplayConfig()
    task_filter: TaskFilterConfig = TaskFilterConfig()


class ARPO(PolicyGradientTrainer):
    """GRPO with success replay."""

    name = "arpo"
    config_class = ARPOConfig
    config: ARPOConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "paper": published("arpo")
            | {
                "format_penalty": 0.5,
                "tasks_per_step": 16,
                "group_size": 8,
                "optimizer": {"lr": 1e-6, "weight_decay": 0.01, "grad_clip": 1.0},
                "update": {"minibatches": 2},
                "replay": {"enabled": True, "capacity": 8, "max_age": None},
            }
        }
    )

    def __init__(self, config: ARPOConfig, run: RunDir) -> None:
        super().__init__(config, run)
        self.replay = SuccessReplay(config.replay, config.seed)
        self.kept_tasks: list[int] | None = None

    def roll_out(self) -> list[Trajectory]:
        """Return a step's fresh episodes, of the tasks that the filter leaves."""
        if self.config.task_filter.probes > 0 and self.kept_tasks is None:
            self.kept_tasks = self.probe()
            self.sampler = TaskSampler(self.kept_tasks, self.config.seed)
        return super().roll_out()

    def choose(self, fresh: list[Trajectory]) -> tuple[list[Trajectory], dict[str, float]]:
        """Return the batch with all-fail groups rescued, and keep its successes for later."""
        scores = [trajectory.reward for trajectory in fresh]
        served, report = self.replay.serve(fresh, scores, self.steps_done)
        self.replay.store(fresh, scores)
        metrics = {
            "replay/failed_groups": float(report.failed_groups),
            "replay/rescued_groups": float(len(report.rows)),
            "replay/size": float(len(self.replay)),
        }
        if report.ages:
            metrics["replay/age_mean"] = float(np.mean(report.ages))
        return served, metrics

    def probe(self) -> list[int]:
        """Return the tasks whose success rate under the current policy lies in the filter's range.

        Raises:
            UsageError: If there is none.
        """
        config, tasks = self.config.task_filter, self.sampler.tasks
        specs = [
            replace(spec, group_id=f"probe/{task}")
            for task in tasks
            for spec in self.group(task, ("probe", task), config.probes)
        ]
        tried: dict[int, list[bool]] = {task: [] for task in tasks}
        for spec, trajectory in zip(specs, self.collector.collect(specs), strict=True):
            if trajectory.trainable:
                tried[int(spec.task or 0)].append(trajectory.success)
        kept = [
            task
            for task, outcomes in tried.items()
            if outcomes and config.above < float(np.mean(outcomes)) <= config.at_most
        ]
        if not kept:
            raise UsageError(
                f"None of {len(tasks)} tasks is solved in more than {config.above:.0%} and at most "
                f"{config.at_most:.0%} of {config.probes} episodes; start from a better policy, or "
                "widen task_filter."
            )
        return kept

    def extra_state(self) -> dict[str, Any]:
        """Return the sampler's state, the replay buffer and the kept tasks."""
        own = {"replay": self.replay.state(), "kept_tasks": self.kept_tasks}
        return super().extra_state() | own

    def restore_extra(self, state: dict[str, Any]) -> None:
        """Continue from what `extra_state` gave."""
        self.replay.restore(**state["replay"])
        self.kept_tasks = state["kept_tasks"]
        if self.kept_tasks is not None:
            self.sampler = TaskSampler(self.kept_tasks, self.config.seed)
        super().restore_extra(state)
