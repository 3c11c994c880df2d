"""What every trainer shares: a model that learns step by step, in a run that can be picked up.

A trainer says what a step does (`step`) and what it keeps beside the model and the optimiser
(`extra_state`); this loop writes metrics and checkpoints and restores them. Everything random is
drawn from the seed, the step and the episode, and everything that a step leaves behind is in the
checkpoint, so a run that was killed goes on as if it had not been.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from pydantic import Field

from agentgym.config import Config
from agentgym.metrics import MetricsLog, TrackerKind, open_tracker
from agentgym.progress import Progress
from agentgym.run_dir import RunDir
from agentgym.store import Store, StoreWriter
from agentgym.trainers import checkpoint
from agentgym.trainers.learner import Learner, UpdateConfig
from agentgym.trainers.models import ModelConfig, TemplateConfig, load_model
from agentgym.trainers.optimizer import OptimizerConfig


class EnvConfig(Config):
    """Which environment, with which options."""

    id: str
    kwargs: dict[str, Any] = Field(default_factory=dict)
    tasks: int | None = Field(
        default=None, ge=1, description="train on the first so many tasks; None: all"
    )


class CheckpointConfig(Config):
    """When the run's state is written."""

    every: int = Field(
        default=10, ge=1, description="steps between checkpoints; the last step always has one"
    )
    keep: int = Field(default=2, ge=1)


class TrainConfig(Config):
    """What every run is configured by."""

    seed: int = 0
    steps: int = Field(default=100, ge=1)
    env: EnvConfig
    model: ModelConfig
    template: TemplateConfig = TemplateConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    update: UpdateConfig = UpdateConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    trackers: list[TrackerKind] = Field(
        default_factory=list, description="tensorboard, wandb, trackio: beside metrics.jsonl"
    )


class Trainer(ABC):
    """A model that learns step by step.

    Subclasses set `name` and `config_class`, and implement `step`.

    Args:
        config: What to train, on what, and how.
        run: Where the run's files go.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[TrainConfig]] = TrainConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})
    """Named settings below the user's own, such as "paper": what the paper's released code does."""

    def __init__(self, config: TrainConfig, run: RunDir) -> None:
        self.config = config
        self.run = run
        self.loaded = load_model(config.model, seed=config.seed)
        self.learner = self.make_learner()
        self.steps_done = 0

    @abstractmethod
    def step(self) -> dict[str, float]:
        """Take step number `steps_done` and return its metrics."""

    def make_learner(self) -> Learner:
        """Return the learner; an actor-critic returns one with a critic."""
        config = self.config
        return Learner(self.loaded, config.optimizer, config.update, **self.learner_options())

    def learner_options(self) -> dict[str, Any]:
        """Return the arguments that every learner of this run takes."""
        return {"total_updates": self.config.steps, "seed": self.config.seed}

    def figures(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return the few metrics that a progress bar shows."""
        return {"loss": metrics.get("loss/policy", float("nan")), "s/step": metrics["time/step"]}

    def extra_state(self) -> dict[str, Any]:
        """Return what is kept beside model and optimiser."""
        return {}

    def restore_extra(self, state: dict[str, Any]) -> None:
        """Continue from what `extra_state` gave."""

    def open(self, writer: StoreWriter) -> None:
        """Acquire what steps need; trajectories go to `writer`."""

    def close(self) -> None:
        """Release what `open` acquired; called even where it failed."""

    def train(self, *, resume: bool = False, progress: Progress | None = None) -> dict[str, float]:
        """Take all steps that are left.

        Args:
            resume: Go on from the run's last checkpoint, if it has one.
            progress: Is told each step's metrics.

        Returns:
            The last step's metrics.
        """
        if resume:
            self.restore()
        config, metrics = self.config, dict[str, float]()
        resume_step = self.steps_done if resume else None
        trackers = [open_tracker(k, self.run, resume_step=resume_step) for k in config.trackers]
        log = MetricsLog(self.run.metrics_file, resume_step=resume_step, trackers=trackers)
        with log, Store.writer(self.run.path) as writer:
            if resume:
                writer.rewind(self.steps_done)
            try:
                self.open(writer)
                while self.steps_done < config.steps:
                    started = time.perf_counter()
                    metrics = self.step()
                    self.steps_done += 1
                    metrics["time/step"] = time.perf_counter() - started
                    log.log(self.steps_done, metrics)
                    if progress is not None:
                        progress(self.steps_done, self.figures(metrics))
                    last = self.steps_done == config.steps
                    if last or self.steps_done % config.checkpoint.every == 0:
                        self.save()
            finally:
                self.close()
        return metrics

    def save(self) -> None:
        """Write a checkpoint."""
        state = {
            "step": self.steps_done,
            "learner": self.learner.state_dict(),
            "extra": self.extra_state(),
        }
        keep = self.config.checkpoint.keep
        checkpoint.save(self.run.checkpoints, self.steps_done, self.loaded, state, keep=keep)

    def restore(self) -> None:
        """Go on from the last checkpoint; without one the run starts from the beginning."""
        found = checkpoint.checkpoints(self.run.checkpoints)
        if not found:
            return
        state = found[-1].state()
        found[-1].load_weights(self.loaded.model)
        self.learner.load_state_dict(state["learner"])
        self.restore_extra(state["extra"])
        self.steps_done = state["step"]
