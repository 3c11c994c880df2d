"""DAPO: decoupled clip and dynamic sampling (arXiv 2503.14476).

    clip-higher       1 - 0.2 … 1 + 0.28: rare tokens may become likelier              section 3.1
    dynamic sampling  groups whose scores are all equal teach nothing; sample on       section 3.2,
    eq. 11 token mean        every token of the batch weighs the same
    section 3.3, eq. 12 soft overlong     0 … -1 over the last `margin` tokens before the limit
          section 3.4, eq. 13 no KL term

| | paper | ours |
|---|---|---|
| dynamic sampling | until the batch is full | the same, at most `dynamic_rounds` rounds |
| filter on | accuracy | the task's reward, before shaping |
| stragglers | - | a round's groups are all awaited, so quick tasks are not preferred |
"""

from collections.abc import Sequence

import torch
from pydantic import Field, model_validator

from agentgym.errors import ConfigError
from agentgym.stop_reason import StopReason
from agentgym.trainers.advantages import AdvantageConfig, carries_signal
from agentgym.trainers.batch import TurnTable
from agentgym.trainers.losses import PolicyLossConfig
from agentgym.trainers.penalties import add_outcome, soft_overlong_penalty
from agentgym.trainers.policy_gradient import PolicyGradientConfig, PolicyGradientTrainer
from agentgym.trainers.settings import ALGORITHMS
from agentgym.trajectory import Trajectory


class DAPOConfig(PolicyGradientConfig):
    """Settings of DAPO."""

    loss: PolicyLossConfig = ALGORITHMS["dapo"].loss
    advantage: AdvantageConfig = ALGORITHMS["dapo"].advantage or AdvantageConfig()
    dynamic_rounds: int = Field(
        default=10, ge=1, description="most rounds of sampling per step; 1: no filter"
    )
    overlong_margin: int = Field(
        default=0, ge=0, description="tokens over which the penalty sets in; 0: none"
    )

    @model_validator(mode="after")
    def _margin_fits(self) -> "DAPOConfig":
        if self.overlong_margin > self.policy.max_length:
            raise ConfigError(
                f"overlong_margin ({self.overlong_margin}) is larger than policy.max_length "
                f"({self.policy.max_length}); make it smaller"
            )
        return self


class DAPO(PolicyGradientTrainer):
    """Decoupled clip and dynamic sampling policy optimisation."""

    name = "dapo"
    config_class = DAPOConfig
    config: DAPOConfig

    def roll_out(self) -> list[Trajectory]:
        """Sample until `tasks_per_step` groups carry a signal, or the rounds run out."""
        fresh: list[Trajectory] = []
        for round_ in range(self.config.dynamic_rounds):
            fresh += self.collector.collect(self.specs(round_))
            if len(_groups(self._useful(fresh))) >= self.config.tasks_per_step:
                break
        return fresh

    def choose(self, fresh: list[Trajectory]) -> tuple[list[Trajectory], dict[str, float]]:
        """Return the groups that carry a signal, as many as a batch holds."""
        if self.config.dynamic_rounds == 1:
            return fresh, {}
        useful = self._useful(fresh)
        kept = set(_groups(useful)[: self.config.tasks_per_step])
        metrics = {
            "dapo/sampled_groups": float(len(_groups(fresh))),
            "dapo/useful_groups": float(len(_groups(useful))),
        }
        return [t for t in useful if t.group_id in kept], metrics

    def shape(self, table: TurnTable, trajectories: Sequence[Trajectory]) -> TurnTable:
        """Return the table with the soft overlong penalty."""
        table = super().shape(table, trajectories)
        if self.config.overlong_margin == 0:
            return table
        # The limit is on the whole conversation, and so is what counts against it.
        length_N = torch.tensor([_length(t, self.config.policy.max_length) for t in trajectories])
        penalty_N = soft_overlong_penalty(
            length_N, max_length=self.config.policy.max_length, margin=self.config.overlong_margin
        )
        return add_outcome(table, penalty_N)

    def _useful(self, fresh: Sequence[Trajectory]) -> list[Trajectory]:
        table = TurnTable.of(fresh)
        kept_N = carries_signal(table.outcome_N, table.group_N, table.valid_N)
        useful = {t.group_id for t, kept in zip(fresh, kept_N.tolist(), strict=True) if kept}
        return [t for t in fresh if t.group_id in useful]


def _length(trajectory: Trajectory, limit: int) -> int:
    """Return how long the longest conversation was, in ids; `limit` for one that outgrew it."""
    if trajectory.stop_reason is StopReason.TOKEN_LIMIT:
        return limit
    return max((len(sequence) for sequence in trajectory.sequences()), default=0)


def _groups(trajectories: Sequence[Trajectory]) -> list[str]:
    return list(dict.fromkeys(t.group_id for t in trajectories))
