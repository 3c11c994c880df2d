"""PPO for episodes of turns: clipped ratio, value head, masked GAE (arXiv 1707.06347, 1506.02438).

    delta_t = r_t + gamma V_{t+1} - V_t            over sampled tokens; observations are no steps
    A_t     = sum_l (gamma lam)^l delta_{t+l}      whitened over the batch
    loss    = -min(x_t A_t, clip(x_t) A_t) + coef * 0.5 max((V - R)^2, (clip(V) - R)^2)

gamma applies over turn boundaries (`gamma_turn`) and, unless `gamma_tok` says otherwise, not inside
a turn (POAD, arXiv 2405.15821). `level=turn` has one value and one advantage per turn;
`level=bilevel` is VAGEN's: turns first, then tokens within each. An episode that a limit cut short
bootstraps from the value of the state it was left in.

| | common releases | ours |
|---|---|---|
| time limit | a terminal state | bootstraps |
| gamma | per token | per turn |
| value of the first layer of observations | trained on every token | on sampled positions only |
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from agentgym.config import Config
from agentgym.trainers.advantages import AdvantageConfig, spread_over_tokens, whiten
from agentgym.trainers.batch import TokenBatch, TurnTable
from agentgym.trainers.critics import ActorCriticLearner, CriticConfig
from agentgym.trainers.gae import bilevel_gae, token_gae, turn_gae
from agentgym.trainers.learner import Learner
from agentgym.trainers.losses import PolicyLossConfig
from agentgym.trainers.policy_gradient import PolicyGradientConfig, PolicyGradientTrainer
from agentgym.trainers.settings import ALGORITHMS
from agentgym.trainers.streams import ActionStream
from agentgym.trajectory import Trajectory


class CreditLevel(StrEnum):
    """What has an advantage of its own."""

    TOKEN = "token"
    TURN = "turn"
    BILEVEL = "bilevel"


class GAEConfig(Config):
    """How advantages are estimated from values."""

    level: CreditLevel = CreditLevel.TOKEN
    gamma_turn: float = Field(
        default=1.0, ge=0, le=1, description="discount over a turn's last token"
    )
    gamma_tok: float = Field(default=1.0, ge=0, le=1, description="discount over any other token")
    lam: float = Field(default=0.95, ge=0, le=1)
    whiten: bool = True


class PPOConfig(PolicyGradientConfig):
    """Settings of PPO; a group is just several episodes of a task here."""

    group_size: int = Field(default=1, ge=1)
    loss: PolicyLossConfig = ALGORITHMS["ppo"].loss
    gae: GAEConfig = GAEConfig()
    critic: CriticConfig = CriticConfig()

    @model_validator(mode="after")
    def _has_a_critic(self) -> Self:
        if self.advantage != AdvantageConfig():
            raise ValueError("advantage.… does nothing in PPO, whose critic judges; set gae.…")
        return self


class PPO(PolicyGradientTrainer):
    """Proximal policy optimisation with a value head."""

    name = "ppo"
    config_class = PPOConfig
    config: PPOConfig
    learner: ActorCriticLearner

    def make_learner(self) -> Learner:
        """Return a learner with a value head."""
        config = self.config
        return ActorCriticLearner(
            self.loaded,
            config.optimizer,
            config.update,
            critic=config.critic,
            per_turn=config.gae.level is CreditLevel.TURN,
            **self.learner_options(),
        )

    @property
    def skips_idle_rows(self) -> bool:
        """False: the critic learns from every trajectory."""
        return False

    def weigh(
        self, table: TurnTable, batch: TokenBatch, trajectories: Sequence[Trajectory]
    ) -> TokenBatch:
        """Return the batch with advantages, returns and old values from the critic."""
        config = self.config.gae
        stream = ActionStream.of(batch, table)
        values = self.learner.values(batch, trajectories)
        values_M, final_N = stream.gather(values.values_BT), values.final_values_N
        if config.level is CreditLevel.TURN:
            values_K = stream.first_K(values_M)
            turns = turn_gae(table, values_K, final_N, gamma=config.gamma_turn, lam=config.lam)
            advantages_K = turns.advantages
            if config.whiten:
                advantages_K = whiten(advantages_K, table.valid_K.double())
            advantages_BT = spread_over_tokens(advantages_K, table, batch)
            returns_BT = spread_over_tokens(turns.returns, table, batch)
        else:
            estimator = token_gae if config.level is CreditLevel.TOKEN else bilevel_gae
            tokens = estimator(
                stream,
                table,
                values_M,
                final_N,
                gamma_turn=config.gamma_turn,
                gamma_tok=config.gamma_tok,
                lam=config.lam,
            )
            advantages_M = whiten(tokens.advantages) if config.whiten else tokens.advantages
            advantages_BT = stream.scatter(advantages_M)
            returns_BT = stream.scatter(tokens.returns)
        return replace(
            batch,
            advantages_BT=advantages_BT,
            returns_BT=returns_BT,
            values_old_BT=values.values_BT,
        )
