"""SFT: imitate demonstrations, turn by turn.

    loss = -(mean over sampled tokens) log pi(a_t | everything before it)

It is the policy loss with an advantage of 1 on every action token and no ratio, so observations,
prompts and padding are masked as they are everywhere else. Demonstrations come from an expert of
the environment, run on the fly, or from runs on disk; their actions are written in the learner's
chat template.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from agentgym.config import Config
from agentgym.policies.scripted import ExpertPolicy
from agentgym.rollout import Collector, EpisodeSpec, RolloutConfig
from agentgym.run_dir import RunDir
from agentgym.seeding import stable_seed
from agentgym.store import StoreWriter
from agentgym.trainers.aggregation import Aggregation
from agentgym.trainers.batch import TokenBatch
from agentgym.trainers.learner import Learner
from agentgym.trainers.logs import chosen, in_tokens_of, read_runs
from agentgym.trainers.loop import TrainConfig, Trainer
from agentgym.trainers.losses import PolicyLossConfig
from agentgym.trainers.ratios import CorrectionConfig, CorrectionLevel, RatioLevel
from agentgym.trainers.sampler import TaskSampler
from agentgym.trajectory import Trajectory

IMITATION = PolicyLossConfig(
    ratio_level=RatioLevel.NONE,
    correction=CorrectionConfig(level=CorrectionLevel.NONE),
    aggregation=Aggregation.TOKEN_MEAN,
)
"""Maximum likelihood as a policy loss: advantages are 1."""


def _imitable(loss: PolicyLossConfig) -> PolicyLossConfig:
    """Refuse what imitation has no use for, and would pass over in silence."""
    if loss.ratio_level is not RatioLevel.NONE or loss.correction.level is not CorrectionLevel.NONE:
        raise ValueError(
            "ratio_level and correction.level must be 'none': nothing here was sampled by the "
            "model that learns"
        )
    if loss.kl_coef > 0:
        raise ValueError("kl_coef must be 0: imitation has no reference policy")
    if loss.aggregation is Aggregation.SEQ_SUM_CONST and loss.max_length is None:
        raise ValueError("seq_sum_const divides by max_length; set it")
    return loss


ImitationLoss = Annotated[PolicyLossConfig, AfterValidator(_imitable)]
"""A policy loss whose settings make sense for imitation."""


class DemonstrationsConfig(Config):
    """Where demonstrations come from."""

    expert: str | None = Field(
        default=None, description="an expert of the environment; None: its first"
    )
    episodes: int = Field(default=1024, ge=1, description="how many the expert plays")
    noise: float = Field(
        default=0.0, ge=0, lt=1, description="how often the expert errs; its errors aren't imitated"
    )
    runs: list[str] = Field(default_factory=list, description="run folders to read instead")
    where: list[str] = Field(
        default_factory=lambda: ["success=true"], description="which trajectories are imitated"
    )


class SFTConfig(TrainConfig):
    """Settings of SFT."""

    batch_size: int = Field(default=32, ge=1, description="episodes per step")
    observation_coef: float = Field(
        default=0.0,
        ge=0,
        description="weight of predicting observations too, relative to actions: what teaches a "
        "model that starts from random weights to read",
    )
    demonstrations: DemonstrationsConfig = DemonstrationsConfig()
    rollout: RolloutConfig = RolloutConfig()
    loss: ImitationLoss = IMITATION


class SFT(Trainer):
    """Imitates demonstrations."""

    name = "sft"
    config_class: ClassVar[type[TrainConfig]] = SFTConfig
    config: SFTConfig

    def __init__(self, config: SFTConfig, run: RunDir) -> None:
        super().__init__(config, run)
        self.demonstrations: list[Trajectory] = []

    def open(self, writer: StoreWriter) -> None:
        """Collect or read the demonstrations, and write them in the learner's tokens."""
        # A run that goes on has them in its store: a step was taken, and they came before it.
        kept = writer if self.steps_done == 0 else None
        given = self.config.demonstrations
        found = read_runs(given.runs, given.where) if given.runs else self._played(kept)
        loaded = self.loaded
        template = self.config.template.template(loaded.tokenizer, loaded.image_processor)
        self.demonstrations = in_tokens_of(found, template)
        self.order = TaskSampler(range(len(found)), self.config.seed)
        for _ in range(self.steps_done):
            self.order.draw(self.config.batch_size)  # a resumed run goes on in the same order

    def step(self) -> dict[str, float]:
        """Imitate one batch of episodes."""
        batch = [self.demonstrations[i] for i in self.order.draw(self.config.batch_size)]
        return imitate(
            self.learner,
            batch,
            self.config.loss,
            observation_coef=self.config.observation_coef,
        )

    def _played(self, writer: StoreWriter | None) -> list[Trajectory]:
        config = self.config.demonstrations
        env = self.config.env
        policy = ExpertPolicy(config.expert, noise=config.noise)
        with Collector(env.id, env.kwargs, policy, self.config.rollout, writer=writer) as collector:
            specs = [
                EpisodeSpec(
                    seed=stable_seed(self.config.seed, "demonstration", i), meta={"step": 1}
                )
                for i in range(config.episodes)
            ]
            played = collector.collect(specs)
        return chosen(played, config.where, f"the expert on {env.id}")


def imitate(
    learner: Learner,
    trajectories: Sequence[Trajectory],
    loss: PolicyLossConfig,
    *,
    observation_coef: float = 0.0,
) -> dict[str, float]:
    """Take an update that makes the trajectories' actions likelier.

    Args:
        learner: Takes the step.
        trajectories: At least one.
        loss: `IMITATION`, or it with another aggregation.
        observation_coef: Weight of every other token, relative to an action's.
    """
    batch = TokenBatch.of(trajectories)
    learnt = batch
    if observation_coef > 0:
        learnt = with_observations(batch, getattr(learner.model.config, "image_token_id", None))
    weight_BT = torch.where(batch.mask_BT, 1.0, observation_coef) * learnt.mask_BT
    advantages_BT = weight_BT.masked_fill(_exploratory(batch, trajectories), 0.0)
    metrics = learner.update(replace(learnt, advantages_BT=advantages_BT), loss)
    # Demonstrations were not sampled by this model: there is no drift from its sampler to speak of.
    told = {n: v for n, v in metrics.items() if not n.startswith("drift/") and "ratio" not in n}
    return told | {
        "imitation/episodes": float(len(trajectories)),
        "imitation/tokens": float(batch.mask_BT.sum()),
    }


def _exploratory(batch: TokenBatch, trajectories: Sequence[Trajectory]) -> Tensor:
    """Return where the batch's sampled tokens belong to turns that are not to be imitated."""
    longest = max(len(t.turns) for t in trajectories)
    marked_NK = torch.tensor(
        [
            [k < len(t.turns) and t.turns[k].exploratory for k in range(longest)]
            for t in trajectories
        ]
    )
    turn_BT = batch.turn_id_BT.clamp(min=0)
    return marked_NK[batch.trajectory_B].gather(1, turn_BT) & batch.mask_BT


def with_observations(batch: TokenBatch, image_pad: int | None = None) -> TokenBatch:
    """Return the batch with every token in its mask but each sequence's first.

    A token of a prompt or an observation counts to the turn before it, which weighs nothing here.

    Args:
        batch: Any.
        image_pad: The id that stands for images, which says nothing and isn't learned either.
    """
    position_T = torch.arange(batch.shape[1])
    mask_BT = (position_T > 0) & (position_T < batch.lengths_B[:, None])
    if image_pad is not None:
        mask_BT &= batch.mask_BT | (batch.input_ids_BT != image_pad)
    counted_N = torch.bincount(batch.trajectory_B, weights=mask_BT.sum(1).double()).long()
    return replace(
        batch,
        mask_BT=mask_BT,
        turn_id_BT=batch.turn_id_BT.clamp(min=0).cummax(1).values,
        actions_B=counted_N[batch.trajectory_B],
    )
