"""`Learner`: the model, its optimiser, and one update from a batch of turns.

An update is `epochs` passes over the batch, each cut into `minibatches` optimiser steps by whole
trajectories, each of those into micro-batches under a token budget. What a step averages over is
counted before it is cut, so the size of a micro-batch changes memory and nothing else. A step whose
gradient is not finite is skipped and counted: one bad batch must not end a run, nor pass unseen.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from transformers import PreTrainedModel

from agentgym.config import Config
from agentgym.trainers.aggregation import LossCounts, token_weights
from agentgym.trainers.batch import TokenBatch
from agentgym.trainers.forward import ForwardPass, batch_logprobs
from agentgym.trainers.loss_metrics import LossMetrics
from agentgym.trainers.losses import PolicyLossConfig, RatioAnchor, policy_loss
from agentgym.trainers.models import LoadedModel, Reference
from agentgym.trainers.muon import hidden_matrices
from agentgym.trainers.optimizer import Optimizer, OptimizerConfig
from agentgym.trainers.packing import plan_micro_batches


class UpdateConfig(Config):
    """How a batch becomes optimiser steps."""

    epochs: int = Field(default=1, ge=1, description="passes over the batch")
    minibatches: int = Field(default=1, ge=1, description="optimiser steps per pass")
    micro_batch_tokens: int = Field(default=16384, ge=1, description="most tokens per forward pass")
    chunk_tokens: int = Field(
        default=1024, ge=1, description="sampled positions per chunk of logits"
    )
    log_entropy: bool = Field(
        default=True, description="compute entropies even if the loss needs none"
    )


@dataclass(frozen=True, slots=True)
class MicroLoss:
    """A micro-batch's loss.

    Attributes:
        loss: Scalar with a gradient: the micro-batch's share of the optimiser step's loss.
        metrics: What the policy loss did, as sums.
        sums: Further figures: detached sums, each with the number of things summed.
    """

    loss: Tensor
    metrics: LossMetrics
    sums: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict[str, tuple[Tensor, Tensor]])


class Learner:
    """Takes gradient steps on a model.

    Args:
        loaded: The model.
        optimizer: Settings of the optimiser.
        update: Settings of the update.
        temperature: The one that rollouts sample at.
        total_updates: Updates of the whole run, for the schedule.
        seed: Seeds the order of trajectories in an epoch.
        extra: Modules trained beside the model, such as a value head.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        optimizer: OptimizerConfig,
        update: UpdateConfig,
        *,
        temperature: float = 1.0,
        total_updates: int = 1,
        seed: int = 0,
        extra: nn.Module | None = None,
    ) -> None:
        self.loaded = loaded
        self.model = loaded.model
        self.config = update
        self.extra = extra
        self.temperature = temperature
        self._optimizer_config = optimizer
        self._total = max(total_updates, 1)
        self._seed = seed
        self.updates = self.skipped = 0
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        if extra is not None:
            self.parameters += list(extra.parameters())
        self.optimizer = Optimizer(self.parameters, optimizer, matrices=hidden_matrices(self.model))

    @torch.no_grad()
    def logprobs(self, batch: TokenBatch, reference: Reference | None = None) -> Tensor:
        """Return log pi (or log ref) of the sampled tokens, (B, T) float32, on the CPU."""
        result_BT = torch.zeros(batch.shape)
        with nullcontext() if reference is None else reference.active():
            for rows in self.micro_batches(batch):
                part = batch.select(rows).to(self.loaded.device)
                forward = self.forward(part, model=None if reference is None else reference.model)
                result_BT[rows, : part.shape[1]] = forward.tokens.logprobs_BT.float().cpu()
        return result_BT

    def update(
        self, batch: TokenBatch, loss: PolicyLossConfig, *, counts: LossCounts | None = None
    ) -> dict[str, float]:
        """Take the update's optimiser steps.

        Args:
            batch: With `advantages_BT`, and with what else the loss needs; on the CPU.
            loss: The loss.
            counts: What the loss averages over, where the batch is only that part of it which has
                a gradient; by default the batch's own.

        Returns:
            Metrics of the last epoch's losses, and `optim/…` of all steps.
        """
        lr = self.lr()
        weights_BT = token_weights(
            batch, loss.aggregation, counts=counts, max_length=loss.max_length
        )
        # A minibatch's loss is its share of the batch's, times their number: a mean in expectation,
        # and every trajectory weighs the same whichever minibatch it falls into.
        batch = replace(batch, weights_BT=weights_BT * self.config.minibatches)
        norms: list[float] = []
        done: list[MicroLoss] = []
        steps = skipped = 0
        for epoch in range(self.config.epochs):
            done, steps = [], 0
            for rows in self._minibatches(batch, epoch):
                norm = self._step(batch.select(rows), loss, lr, done)
                norms += [norm] if np.isfinite(norm) else []
                skipped += not np.isfinite(norm)
                steps += 1
        self.updates += 1
        told = _summary(done, steps)
        # What was not measured is left out: a 0 would say that there was no drift.
        if loss.ratio_anchor is RatioAnchor.MU:
            told = {name: v for name, v in told.items() if not name.startswith("drift/")}
        if not self.wants_entropy(loss):
            del told["loss/entropy"]
        return told | {
            "optim/grad_norm": float(np.mean(norms)) if norms else float("nan"),
            "optim/skipped_steps": float(skipped),
            "optim/lr": lr,
        }

    @property
    def single_step(self) -> bool:
        """Whether an update is one optimiser step."""
        return self.config.epochs * self.config.minibatches == 1

    def lr(self) -> float:
        """Return the learning rate of the next update."""
        return self._optimizer_config.lr_at(self.updates + self.skipped, self._total)

    def skip(self) -> None:
        """Count an update that there was nothing to learn for: the schedule ends with the run."""
        self.skipped += 1

    def micro_batches(self, batch: TokenBatch) -> list[list[int]]:
        """Return the rows of each micro-batch; a trajectory's rows stay together."""
        return plan_micro_batches(
            batch.lengths_B.tolist(),
            budget=self.config.micro_batch_tokens,
            keep_together=batch.trajectory_B.tolist(),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the optimiser's state, the extra modules' and the counts of updates."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "extra": None if self.extra is None else self.extra.state_dict(),
            "updates": self.updates,
            "skipped": self.skipped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.updates, self.skipped = state["updates"], state["skipped"]
        if self.extra is not None:
            self.extra.load_state_dict(state["extra"])

    def loss_of(self, part: TokenBatch, loss: PolicyLossConfig) -> MicroLoss:
        """Return a micro-batch's loss; a learner with a critic adds the critic's."""
        forward = self.forward(part, entropy=self.wants_entropy(loss))
        part = with_old(part, forward)
        result = policy_loss(
            loss, part, forward.tokens.logprobs_BT, entropy_BT=forward.tokens.entropy_BT
        )
        return MicroLoss(result.loss, result.metrics)

    def wants_entropy(self, loss: PolicyLossConfig) -> bool:
        """Whether entropies are computed, for the loss or for the log."""
        return self.config.log_entropy or loss.entropy_coef > 0

    def forward(
        self, part: TokenBatch, *, entropy: bool = False, model: PreTrainedModel | None = None
    ) -> ForwardPass:
        """Run a micro-batch, which is on the device, through the model or another one."""
        return batch_logprobs(
            self.model if model is None else model,
            part,
            temperature=self.temperature,
            chunk_tokens=self.config.chunk_tokens,
            entropy=entropy,
            image_processor=self.loaded.image_processor,
        )

    def _step(
        self, batch: TokenBatch, loss: PolicyLossConfig, lr: float, done: list[MicroLoss]
    ) -> float:
        """Take an optimiser step, unless its gradient norm, which is returned, isn't finite."""
        with self.optimizer.accumulation():
            for rows in self.micro_batches(batch):
                micro = self.loss_of(batch.select(rows).to(self.loaded.device), loss)
                micro.loss.backward()
                done.append(replace(micro, loss=micro.loss.detach()))
        return self.optimizer.step(lr)

    def _minibatches(self, batch: TokenBatch, epoch: int) -> Iterator[list[int]]:
        trajectories = torch.unique(batch.trajectory_B).numpy()
        rng = np.random.default_rng([self._seed, self.updates, epoch])
        owners = batch.trajectory_B.numpy()
        for chosen in np.array_split(rng.permutation(trajectories), self.config.minibatches):
            rows = np.flatnonzero(np.isin(owners, chosen)).tolist()
            if rows:
                yield rows


def with_old(part: TokenBatch, forward: ForwardPass) -> TokenBatch:
    """Return the batch with what the policy says now as pi_old, where nothing else was given.

    An update of a single step starts at pi_old, so a pass of its own would compute the same again.
    """
    if part.logprobs_old_BT is not None:
        return part
    return replace(part, logprobs_old_BT=forward.tokens.logprobs_BT.detach())


def _summary(done: Sequence[MicroLoss], steps: int) -> dict[str, float]:
    total = done[0].metrics
    for micro in done[1:]:
        total = total + micro.metrics
    summary = total.summary()
    for name in ("loss/policy", "loss/kl"):
        summary[name] /= steps  # these are sums of one optimiser step, and there were several
    for name in done[0].sums:
        added = sum(float(micro.sums[name][0]) for micro in done)
        summary[name] = added / max(sum(float(micro.sums[name][1]) for micro in done), 1.0)
    return summary
