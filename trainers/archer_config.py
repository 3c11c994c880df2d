"""What ArCHer is configured by, and its presets; `archer.py` says what they do."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Self

from pydantic import Field, model_validator

from agentgym.config import Config
from agentgym.trainers.advantages import AdvantageConfig
from agentgym.trainers.aggregation import Aggregation
from agentgym.trainers.critics import CriticConfig
from agentgym.trainers.encoders import EncoderKind
from agentgym.trainers.losses import PolicyLossConfig
from agentgym.trainers.policy_gradient import PolicyGradientConfig
from agentgym.trainers.ratios import CorrectionConfig, CorrectionLevel, RatioLevel
from agentgym.trainers.utterance_critic import UtteranceCriticConfig

REINFORCE = PolicyLossConfig(
    ratio_level=RatioLevel.NONE,
    correction=CorrectionConfig(level=CorrectionLevel.NONE),
    aggregation=Aggregation.SEQ_MEAN_TOKEN_SUM,
)
"""-mean A sum_t log pi: what each answer was worth, times its log-probability."""


class ActorObjective(StrEnum):
    """What the actor learns from."""

    REINFORCE = "reinforce"
    """Answers sampled anew at replayed states, weighed by their advantage."""
    AWR = "awr"
    """Stored answers, weighed by exp(advantage / temperature) (arXiv 1910.00177)."""
    NONE = "none"
    """Nothing: the policy stays as it is."""


class Draw(StrEnum):
    """What the critic draws from the replay buffer, uniformly."""

    TURNS = "turns"
    """Single turns."""
    EPISODES = "episodes"
    """Whole episodes, which a causal encoder reads once for all of their turns."""


class ActorConfig(Config):
    """How the actor learns."""

    objective: ActorObjective = ActorObjective.REINFORCE
    steps: int = Field(default=3, ge=1, description="actor updates per step of the run")
    batch_size: int = Field(default=128, ge=1, description="states per update")
    answers: int = Field(
        default=1,
        ge=1,
        description="answers sampled at each state; of several, each is compared with the mean Q "
        "of the others, in the place of V",
    )
    temperature: float = Field(default=1.0, gt=0, description="of objective=awr")
    max_weight: float = Field(default=20.0, gt=0, description="largest weight of objective=awr")
    whiten: bool = Field(
        default=False,
        description="shift and scale a batch's advantages to mean 0 and deviation 1: a critic that "
        "is off by a constant then moves nothing",
    )
    summed: int = Field(
        default=1,
        ge=1,
        description="multiplies advantages, as critic.summed does the critic's loss",
    )


class BaselineConfig(CriticConfig):
    """A value per token on the policy's hidden states, in what ArCHer calls its token critic."""

    enabled: bool = False
    coef: float = Field(default=1.0, ge=0, description="weight of its loss")
    clip: float | None = Field(default=None, gt=0, description="how far a value may move")
    detached: bool = Field(
        default=True, description="keep the value loss's gradient out of the policy"
    )


class OfflineDataConfig(Config):
    """A log to learn from, in the place of rollouts."""

    runs: list[str] = Field(default_factory=list, description="run folders to read")
    where: list[str] = Field(
        default_factory=list, description="which trajectories are read, such as reward>0"
    )


class ArCHerConfig(PolicyGradientConfig):
    """Settings of ArCHer; a group is just several episodes of a task here."""

    tasks_per_step: int = Field(default=128, ge=1, description="tasks that are played per step")
    group_size: int = Field(default=1, ge=1)
    loss: PolicyLossConfig = REINFORCE
    critic: UtteranceCriticConfig = UtteranceCriticConfig()
    actor: ActorConfig = ActorConfig()
    baseline: BaselineConfig = BaselineConfig()
    data: OfflineDataConfig = OfflineDataConfig()
    replay_capacity: int = Field(default=100_000, ge=1, description="turns that are kept")
    draw: Draw = Draw.TURNS
    warmup_steps: int = Field(default=0, ge=0, description="steps that train the critic alone")
    best_of: int = Field(
        default=1, ge=1, description="answers of which rollouts give the critic's favourite"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.advantage != AdvantageConfig():
            raise ValueError(
                "advantage.… does nothing in ArCHer, whose critic judges; set critic.gamma"
            )
        if self.actor.objective is not ActorObjective.REINFORCE and (
            self.actor.answers > 1 or self.actor.whiten
        ):
            raise ValueError(
                "actor.answers and actor.whiten are for objective=reinforce, which samples answers"
            )
        if self.data.runs and self.best_of > 1:
            raise ValueError("best_of is for rollouts, and with data.runs there are none")
        once = self.update.epochs * self.update.minibatches == 1
        if (
            self.actor.objective is ActorObjective.REINFORCE
            and self.loss.ratio_level is RatioLevel.NONE
            and not once
        ):
            raise ValueError(
                "after an optimiser step the answers are no longer the policy's own: with "
                "update.epochs or update.minibatches above 1 set loss.ratio_level=token"
            )
        if self.best_of > 1 and self.critic.encoder.kind is EncoderKind.POLICY and self.model.lora:
            raise ValueError(
                "best_of with critic.encoder.kind=policy and adapters would switch them off while "
                "answers are sampled; choose another encoder"
            )
        if self.data.where and not self.data.runs:
            raise ValueError("data.where chooses among the trajectories of data.runs; set that too")
        if self.actor.objective is ActorObjective.AWR and (
            self.baseline.enabled or self.loss.ratio_level is not RatioLevel.NONE
        ):
            raise ValueError(
                "objective=awr imitates stored answers: it has no ratio and no baseline; "
                "set loss.ratio_level=none and baseline.enabled=false"
            )
        return self


_RELEASED: Mapping[str, Any] = {
    "tasks_per_step": 128,
    "warmup_steps": 20,
    "replay_capacity": 100_000,
    "critic": {
        "encoder": {"kind": "pretrained", "path": "roberta-base"},
        "hidden": 768,
        "optimizer": {"lr": 2e-5, "grad_clip": 1.0},
        "steps": 50,
        "batch_size": 256,
        "micro_batch_size": 8,
        "gamma": 0.95,
        "tau": 0.1,
        "summed": 32,
    },
    "optimizer": {"lr": 1e-6, "grad_clip": 1.0},
    "sampling": {"max_tokens": 32},
    "actor": {"steps": 3, "batch_size": 256, "summed": 32},
    "steps": 2000,
}

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": _RELEASED,
        # OfflineArcher's train script.
        "offline": {
            "critic": {
                "backup": "expectile",
                "expectile": 0.9,
                "gamma": 0.99,
                "tau": 0.05,
                "optimizer": {"lr": 1e-5},
                "batch_size": 128,
                "micro_batch_size": 32,
            },
            "actor": {"objective": "awr", "temperature": 1.0, "batch_size": 128},
            "optimizer": {"lr": 1e-4},
        },
        "chai": {"actor": {"objective": "none"}, "best_of": 5},
    }
)
"""Named settings below the user's own."""
