"""A divergence penalty inside the reward, as RLOO and REINFORCE++ have it.

-coef (log pi_old - log ref) of a turn's tokens is added to that turn's reward before any statistic
is taken. As a reward it needs no gradient; the loss's own `kl_coef` stays 0.
"""

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from agentgym.trainers.batch import TokenBatch, TurnTable
from agentgym.trainers.losses import RatioAnchor
from agentgym.trainers.models import Reference
from agentgym.trainers.penalties import kl_penalty
from agentgym.trainers.policy_gradient import PolicyGradientConfig, PolicyGradientTrainer
from agentgym.trainers.streams import ActionStream
from agentgym.trajectory import Trajectory


class ReferenceRewardConfig(PolicyGradientConfig):
    """Adds the penalty's coefficient."""

    kl_reward_coef: float = Field(
        default=0.0, ge=0, description="divergence penalty inside the reward"
    )

    @model_validator(mode="after")
    def _has_old(self) -> Self:
        if self.kl_reward_coef > 0 and self.loss.ratio_anchor is RatioAnchor.MU:
            raise ValueError(
                "kl_reward_coef is taken against the policy before the update, which "
                "loss.ratio_anchor 'mu' does not compute; set loss.ratio_anchor to 'old'"
            )
        return self


class ReferenceRewardTrainer(PolicyGradientTrainer):
    """A policy-gradient trainer whose rewards carry a divergence penalty."""

    config_class = ReferenceRewardConfig
    config: ReferenceRewardConfig

    def make_reference(self) -> Reference | None:
        """Return the reference where the reward or the loss needs one."""
        if self.config.kl_reward_coef > 0:
            return self.loaded.reference()
        return super().make_reference()

    @property
    def needs_old(self) -> bool:
        """Whether pi_old is computed ahead, which the reward may need."""
        return self.config.kl_reward_coef > 0 or super().needs_old

    def weigh(
        self, table: TurnTable, batch: TokenBatch, trajectories: Sequence[Trajectory]
    ) -> TokenBatch:
        """Return the batch with the estimator's advantages of the penalised rewards."""
        if self.config.kl_reward_coef > 0:
            stream = ActionStream.of(batch, table)
            penalty_M = kl_penalty(
                stream,
                batch.need("logprobs_old_BT"),
                batch.need("logprobs_ref_BT"),
                coef=self.config.kl_reward_coef,
            )
            table = table.with_rewards(table.reward_K + stream.sum_K(penalty_M))
        return super().weigh(table, batch, trajectories)
