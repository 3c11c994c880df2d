"""Filtered behaviour cloning: imitate the best of what the policy itself did.

    keep the top 10% of all trajectories so far by return, penalties included
    loss = -sum_t log pi(a_t | s_t) over them

The baseline of ArCHer (arXiv 2402.19446, appendix) and DigiRL (arXiv 2406.11896); with
`threshold=1` and a 0/1 reward it is rejection-sampling fine-tuning. Where nothing passes the filter
the step changes nothing.

| | released code (ArCHer) | ours |
|---|---|---|
| what competes | all trajectories so far, across tasks | the same, the last `memory` of them |
| loss | sum over tokens | token mean (`loss.aggregation`) |
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from agentgym.run_dir import RunDir
from agentgym.trainers.advantages import AdvantageConfig
from agentgym.trainers.batch import TurnTable
from agentgym.trainers.loop import TrainConfig
from agentgym.trainers.policy_gradient import PolicyGradientConfig, PolicyGradientTrainer
from agentgym.trainers.sft import IMITATION, ImitationLoss, imitate
from agentgym.trajectory import Trajectory


class FilteredBCConfig(PolicyGradientConfig):
    """Settings of filtered behaviour cloning."""

    loss: ImitationLoss = IMITATION
    top: float = Field(
        default=0.1, gt=0, le=1, description="fraction of trajectories that is imitated"
    )
    threshold: float | None = Field(
        default=None, description="and only those that earned at least this"
    )
    memory: int = Field(
        default=10000, ge=1, description="trajectories that compete, the newest first"
    )
    batch_size: int = Field(default=64, ge=1, description="most imitated trajectories per step")

    @model_validator(mode="after")
    def _weighs_nothing(self) -> Self:
        if self.advantage != AdvantageConfig():
            raise ValueError("advantage.… does nothing in filtered BC, which imitates the best")
        return self


class FilteredBC(PolicyGradientTrainer):
    """Imitates the best of the policy's own trajectories."""

    name = "filtered_bc"
    config_class: ClassVar[type[TrainConfig]] = FilteredBCConfig
    config: FilteredBCConfig

    def __init__(self, config: FilteredBCConfig, run: RunDir) -> None:
        super().__init__(config, run)
        self.memory: deque[tuple[Trajectory, float]] = deque(maxlen=config.memory)

    def choose(self, fresh: list[Trajectory]) -> tuple[list[Trajectory], dict[str, float]]:
        """Return a sample of the best trajectories so far."""
        config = self.config
        earned = self.shape(TurnTable.of(fresh), fresh).outcome_N.tolist()
        self.memory.extend(pair for pair in zip(fresh, earned, strict=True) if pair[0].trainable)
        if not self.memory:
            return [], {}
        returns = np.array([earned for _, earned in self.memory])
        bar = np.quantile(returns, 1 - config.top)
        if config.threshold is not None:
            bar = max(bar, config.threshold)
        passing = [trajectory for trajectory, earned in self.memory if earned >= bar]
        rng = np.random.default_rng([config.seed, self.steps_done])
        picks = rng.permutation(len(passing))[: config.batch_size]
        metrics = {"filter/bar": float(bar), "filter/passing": float(len(passing))}
        return [passing[i] for i in sorted(picks)], metrics

    def learn(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """Imitate the chosen trajectories; none chosen, nothing changed."""
        if not trajectories:
            return self.skip()
        return {"optim/skipped_batches": 0.0} | imitate(
            self.learner, trajectories, self.config.loss
        )

    def extra_state(self) -> dict[str, Any]:
        """Return the sampler's state and the trajectories that compete."""
        return super().extra_state() | {"memory": list(self.memory)}

    def restore_extra(self, state: dict[str, Any]) -> None:
        """Continue from what `extra_state` gave."""
        super().restore_extra(state)
        self.memory.extend(state["memory"])
