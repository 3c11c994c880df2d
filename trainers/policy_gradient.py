"""What every policy-gradient algorithm shares: roll out, weigh the turns, take a gradient step.

    tasks -> rollouts -> turn table -> advantages -> token batch -> update -> next policy version

An algorithm is a configuration plus, where it does something of its own, an override of `roll_out`,
`choose` (which trajectories are trained on), `shape` (what a turn earned) or `weigh` (what each
token's advantage is).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator

from agentgym import registry
from agentgym.config import Config
from agentgym.errors import ConfigError
from agentgym.metrics import rollout_metrics
from agentgym.policy import LearningPolicy, Policy, Sampling
from agentgym.rollout import Collector, EpisodeSpec, RolloutConfig
from agentgym.run_dir import RunDir
from agentgym.seeding import stable_seed
from agentgym.store import StoreWriter
from agentgym.trainers.advantages import AdvantageConfig, spread_over_tokens, turn_advantages
from agentgym.trainers.aggregation import Aggregation, LossCounts
from agentgym.trainers.batch import TokenBatch, TurnTable
from agentgym.trainers.loop import TrainConfig, Trainer
from agentgym.trainers.losses import PolicyLossConfig, RatioAnchor
from agentgym.trainers.models import LoadedModel, Reference
from agentgym.trainers.penalties import PenaltyPer, penalise_actions
from agentgym.trainers.sampler import TaskSampler
from agentgym.trainers.streams import ActionStream
from agentgym.trajectory import Trajectory


class SamplingConfig(Config):
    """How the policy samples in rollouts; training wants the whole distribution."""

    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    max_tokens: int = Field(default=64, ge=1, description="longest answer, in tokens")

    def sampling(self, stop: tuple[str, ...] = ()) -> Sampling:
        """Return the policy's parameters."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            max_tokens=self.max_tokens,
            stop=stop,
        )


class PolicyConfig(Config):
    """Who samples from the learning model, and how."""

    kind: str = Field(
        default="transformers",
        description="which LearningPolicy: an entry point of the group agentgym.policies",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="of that kind alone, beside the settings below"
    )
    slots: int = Field(default=64, ge=1, description="episodes whose KV caches are kept")
    max_length: int = Field(default=4096, ge=1, description="longest episode, in tokens")
    threads: int | None = Field(
        default=None,
        ge=1,
        description="torch threads that generation uses; 1 is best for tiny models",
    )


class PolicyGradientConfig(TrainConfig):
    """What every policy-gradient run is configured by."""

    tasks_per_step: int = Field(default=16, ge=1, description="groups in a batch")
    group_size: int = Field(default=8, ge=1, description="episodes of a group: one task, one seed")
    format_penalty: float = Field(
        default=0.0,
        ge=0,
        description="taken off for an action that did not parse or could not be done",
    )
    format_penalty_per: PenaltyPer = Field(
        default=PenaltyPer.EPISODE, description="once if there is any, or for each"
    )
    sampling: SamplingConfig = SamplingConfig()
    rollout: RolloutConfig = RolloutConfig()
    policy: PolicyConfig = PolicyConfig()
    loss: PolicyLossConfig = PolicyLossConfig()
    advantage: AdvantageConfig = AdvantageConfig()

    @model_validator(mode="after")
    def _constant(self) -> Self:
        """Let the constant of `seq_sum_const` be the longest episode where none is given."""
        if self.loss.aggregation is Aggregation.SEQ_SUM_CONST and self.loss.max_length is None:
            loss = self.loss.model_copy(update={"max_length": self.policy.max_length})
            object.__setattr__(self, "loss", loss)  # frozen for everyone else
        return self


def serve(loaded: LoadedModel, config: PolicyGradientConfig) -> LearningPolicy:
    """Return the policy that samples from a model as a run's configuration says.

    Raises:
        ConfigError: If `policy.kind` can't sample from a model that learns, or its options don't
            suit it.
        UnknownNameError: If there is no policy of that kind.
        MissingDependencyError: If it needs an extra that isn't installed.
    """
    kind = config.policy.kind
    make = registry.policies.load(kind)
    settings = {
        "slots": config.policy.slots,
        "max_length": config.policy.max_length,
        "threads": config.policy.threads,
        "template_options": config.template.options,
        "observation_role": config.template.observation_role,
        "force_append": config.template.force_append,
        "image_processor": loaded.image_processor,
    }
    try:
        call = signature(make).bind(
            loaded.model, loaded.tokenizer, **settings, **config.policy.options
        )
    except TypeError as fault:  # such as an expert's, which takes no model
        raise ConfigError(
            f"policy.kind={kind} with policy.options={config.policy.options} can't be made from a "
            f"model that learns: {fault}"
        ) from fault
    policy = make(*call.args, **call.kwargs)
    if not isinstance(policy, LearningPolicy) or policy.template is None:
        raise ConfigError(
            f"policy.kind={kind} answers, but not with weights that change: it is no "
            "agentgym.LearningPolicy with a template. Leave policy.kind out to sample with "
            "transformers."
        )
    return policy


class PolicyGradientTrainer(Trainer):
    """Trains a policy by rolling out and taking gradient steps."""

    config_class: ClassVar[type[TrainConfig]] = PolicyGradientConfig
    config: PolicyGradientConfig

    def __init__(self, config: PolicyGradientConfig, run: RunDir) -> None:
        super().__init__(config, run)
        self.policy = serve(self.loaded, config)
        self.reference = self.make_reference()
        env = registry.make(config.env.id, **config.env.kwargs)
        count = (
            len(env.tasks) if config.env.tasks is None else min(config.env.tasks, len(env.tasks))
        )
        self._stop = env.action_format.stop
        env.close()
        self.sampler = TaskSampler(range(count), config.seed)
        self._collector: Collector | None = None

    # What an algorithm may do in its own way.

    def make_reference(self) -> Reference | None:
        """Return the frozen policy that divergences are taken from, if the loss needs one."""
        return self.loaded.reference() if self.config.loss.kl_coef > 0 else None

    @property
    def acting(self) -> Policy:
        """Who plays the episodes; by default the policy that learns."""
        return self.policy

    def roll_out(self) -> list[Trajectory]:
        """Return a step's fresh episodes."""
        return self.collector.collect(self.specs(0))

    def choose(self, fresh: list[Trajectory]) -> tuple[list[Trajectory], dict[str, float]]:
        """Return what is trained on, and metrics about the choice; by default all that is fresh."""
        return fresh, {}

    def shape(self, table: TurnTable, trajectories: Sequence[Trajectory]) -> TurnTable:
        """Return the table with shaped rewards; by default the format penalty, if there is one."""
        if self.config.format_penalty == 0:
            return table
        return penalise_actions(
            table, penalty=self.config.format_penalty, per=self.config.format_penalty_per
        )

    def weigh(
        self, table: TurnTable, batch: TokenBatch, trajectories: Sequence[Trajectory]
    ) -> TokenBatch:
        """Return the batch with advantages; by default the configured critic-free estimator's."""
        del trajectories  # a critic needs them
        actions_K = ActionStream.of(batch, table).actions_K
        advantages_K = turn_advantages(table, self.config.advantage, actions_K=actions_K)
        return replace(batch, advantages_BT=spread_over_tokens(advantages_K, table, batch))

    # The loop.

    def open(self, writer: StoreWriter) -> None:
        """Start the environments."""
        env, config = self.config.env, self.config.rollout
        self._collector = Collector(env.id, env.kwargs, self.acting, config, writer=writer)

    def close(self) -> None:
        """Stop the environments."""
        if self._collector is not None:
            self._collector.run(self.policy.close)
            self._collector.close()

    @property
    def collector(self) -> Collector:
        """What runs episodes, between `open` and `close`."""
        assert self._collector is not None, "open() comes first"
        return self._collector

    def step(self) -> dict[str, float]:
        """Roll out, choose, weigh, update."""
        started = time.perf_counter()
        fresh = self.roll_out()
        rolled = time.perf_counter()
        metrics = rollout_metrics(fresh)
        trajectories, chosen = self.choose(fresh)
        with self.policy.updating():
            metrics |= chosen | self.learn(trajectories)
        metrics["time/rollout"] = rolled - started
        metrics["time/update"] = time.perf_counter() - rolled
        return metrics

    def learn(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """Update the policy from these trajectories; a batch without signal changes nothing."""
        if not any(t.trainable for t in trajectories):
            return self.skip()
        table = self.shape(TurnTable.of(trajectories), trajectories)
        batch = TokenBatch.of(trajectories)
        loss = self.config.loss
        if loss.ratio_anchor is RatioAnchor.OLD and self.needs_old:
            batch = replace(batch, logprobs_old_BT=self.learner.logprobs(batch))
        if self.reference is not None:
            batch = replace(batch, logprobs_ref_BT=self.learner.logprobs(batch, self.reference))
        batch = self.weigh(table, batch, trajectories)
        if self.skips_idle_rows and not bool(batch.need("advantages_BT").any()):
            # Adam would move on its momentum even where every gradient is 0.
            return self.skip()
        counts = LossCounts.of(batch)
        if self.skips_idle_rows:
            batch = batch.select(busy_rows(batch))
        return {"optim/skipped_batches": 0.0} | self.learner.update(batch, loss, counts=counts)

    def skip(self) -> dict[str, float]:
        """Count a batch without signal, and return what is logged of it."""
        self.learner.skip()
        return {"optim/skipped_batches": 1.0}

    @property
    def skips_idle_rows(self) -> bool:
        """Whether trajectories without advantage, which add no gradient, are left out."""
        return self.config.loss.kl_coef == 0 and self.config.loss.entropy_coef == 0

    @property
    def needs_old(self) -> bool:
        """Whether pi_old is computed ahead: a single step computes it on its way (`with_old`)."""
        return not self.learner.single_step

    def specs(self, round_: int) -> list[EpisodeSpec]:
        """Return the next tasks' episodes.

        Args:
            round_: Counts the calls of one step, for algorithms that sample more than once.
        """
        tasks = self.sampler.draw(self.config.tasks_per_step)
        size, step = self.config.group_size, self.steps_done
        groups = [self.group(task, (step, round_, g), size) for g, task in enumerate(tasks)]
        return [spec for group in groups for spec in group]

    def group(self, task: int, key: tuple[int | str, ...], size: int) -> list[EpisodeSpec]:
        """Return a group: episodes that share a task and an initial state, and sample apart.

        Args:
            task: Index of the task.
            key: Tells the group apart from every other of the run.
            size: How many.
        """
        sampling = self.config.sampling.sampling(self._stop)
        return [
            EpisodeSpec(
                task=task,
                seed=stable_seed(self.config.seed, *key),
                group_id="/".join(map(str, key)),
                sampling=replace(sampling, seed=stable_seed(self.config.seed, *key, member)),
                meta={"step": self.steps_done + 1},
            )
            for member in range(size)
        ]

    def figures(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return the few metrics that a progress bar shows."""
        shown = ("rollout/success", "rollout/reward", "rollout/turns", "time/step")
        return {name.rpartition("/")[2]: metrics[name] for name in shown if name in metrics}

    def learner_options(self) -> dict[str, Any]:
        """Return the arguments that every learner of this run takes."""
        return super().learner_options() | {"temperature": self.config.sampling.temperature}

    def extra_state(self) -> dict[str, Any]:
        """Return the sampler's state; an algorithm adds its own."""
        return {"sampler": self.sampler.state}

    def restore_extra(self, state: dict[str, Any]) -> None:
        """Continue from what `extra_state` gave."""
        self.sampler.restore(state["sampler"])

    def restore(self) -> None:
        """Go on from the last checkpoint, with its policy version."""
        with self.policy.updating():  # a policy that samples elsewhere has to be told
            super().restore()
        # Each update was one version, and so was each that there was nothing to learn for.
        self.policy.policy_version = self.learner.updates + self.learner.skipped


def busy_rows(batch: TokenBatch) -> list[int]:
    """Return the rows of the trajectories that have an advantage anywhere."""
    busy_B = (batch.need("advantages_BT") != 0).any(1)
    wanted = torch.unique(batch.trajectory_B[busy_B])
    return torch.isin(batch.trajectory_B, wanted).nonzero().squeeze(1).tolist()
