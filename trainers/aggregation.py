"""From a loss per token to one number: every mode is a fixed weight per token.

loss = sum_t weights_t * l_t. The weights are computed once, over everything that one optimiser step
sees (all micro-batches of all ranks), and travel with the tokens. So the loss and its gradient
don't depend on how the batch is split, which a mean taken inside each micro-batch does: with one
sequence per micro-batch a local token mean silently becomes a sequence mean.

A "sequence" is a trajectory, however many rows it lies in.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import torch
from torch import Tensor

from agentgym.errors import UsageError
from agentgym.trainers.batch import TokenBatch
from agentgym.trainers.segments import Segments


class Aggregation(StrEnum):
    """How token losses are averaged; i runs over N trajectories with |o_i| sampled tokens each."""

    TOKEN_MEAN = "token_mean"
    """1 / sum_i |o_i| for every token (DAPO, arXiv 2503.14476, eq. 8)."""
    SEQ_MEAN_TOKEN_MEAN = "seq_mean_token_mean"
    """1 / (N |o_i|): each trajectory counts once (GRPO, arXiv 2402.03300, eq. 3)."""
    SEQ_MEAN_TOKEN_SUM = "seq_mean_token_sum"
    """1 / N: the log-probability of a whole trajectory (RLOO, REINFORCE)."""
    SEQ_SUM_CONST = "seq_sum_const"
    """1 / (N L) with a constant L, the longest allowed (Dr. GRPO, arXiv 2503.20783, 3.2)."""
    TURN_MEAN = "turn_mean"
    """1 / (turns of the batch * tokens of the turn): each turn counts once."""


@dataclass(frozen=True, slots=True)
class LossCounts:
    """What one optimiser step averages over. Counts of several ranks add up with `+`.

    Attributes:
        tokens: Sampled tokens.
        trajectories: Trajectories with a sampled token.
        turns: Turns with a sampled token.
    """

    tokens: int
    trajectories: int
    turns: int

    @classmethod
    def of(cls, batch: TokenBatch) -> Self:
        """Return the counts of `batch`."""
        trajectories = Segments.trajectories(batch).counts()
        turns = Segments.turns(batch).counts()
        return cls(int(trajectories.sum()), int((trajectories > 0).sum()), int((turns > 0).sum()))

    def __add__(self, other: "LossCounts") -> "LossCounts":
        return LossCounts(
            self.tokens + other.tokens,
            self.trajectories + other.trajectories,
            self.turns + other.turns,
        )


def token_weights(
    batch: TokenBatch,
    mode: Aggregation,
    *,
    counts: LossCounts | None = None,
    max_length: int | None = None,
) -> Tensor:
    """Return each token's weight in the loss, (B, T) float32; 0 on tokens that were not sampled.

    Where ranks average their gradients, multiply the loss by their number: the weights are those of
    a sum.

    Args:
        batch: All sequences of this rank's optimiser step, before it is cut into micro-batches.
        mode: How to average.
        counts: The sum of `LossCounts` over all ranks; by default this batch's own.
        max_length: L of `SEQ_SUM_CONST`: the most tokens that a trajectory may sample.

    Raises:
        UsageError: If `SEQ_SUM_CONST` has no `max_length`.
    """
    counts = LossCounts.of(batch) if counts is None else counts
    mask_BT = batch.mask_BT.to(torch.float32)
    match mode:
        case Aggregation.TOKEN_MEAN:
            return mask_BT / max(counts.tokens, 1)
        case Aggregation.SEQ_MEAN_TOKEN_MEAN:
            length_B = batch.actions_B.clamp(min=1).to(torch.float32)
            return mask_BT / (max(counts.trajectories, 1) * length_B[:, None])
        case Aggregation.SEQ_MEAN_TOKEN_SUM:
            return mask_BT / max(counts.trajectories, 1)
        case Aggregation.SEQ_SUM_CONST:
            if max_length is None or max_length < 1:
                raise UsageError(
                    f"seq_sum_const divides by a constant length, and max_length is {max_length}; "
                    "set it to the most tokens that a trajectory may sample."
                )
            return mask_BT / (max(counts.trajectories, 1) * max_length)
        case Aggregation.TURN_MEAN:
            turns = Segments.turns(batch)
            length_BT = turns.spread(turns.counts()).clamp(min=1)
            return mask_BT / (max(counts.turns, 1) * length_BT)
