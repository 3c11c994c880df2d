"""The clipped value loss of PPO.

A critic's value may move by at most `clip` from where it was before the update without losing its
gradient; the larger of the free and the held error counts, as in PPO's released code. Errors are
averaged by the same weights per token as the policy loss (`aggregation.py`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from agentgym.trainers.batch import TokenBatch


@dataclass(frozen=True, slots=True)
class ValueLoss:
    """What `value_loss` returns.

    Attributes:
        loss: Scalar with a gradient: this micro-batch's share of the optimiser step's loss.
        tokens: Tokens that it was taken over.
        clipped: Of them, those where the clipped error was the larger one. Detached.
        error: Sum of V - return over them. Detached.
        squared_error: Sum of its square. Detached.
    """

    loss: Tensor
    tokens: Tensor
    clipped: Tensor
    error: Tensor
    squared_error: Tensor


def value_loss(batch: TokenBatch, values_BT: Tensor, *, clip: float | None = 0.2) -> ValueLoss:
    """Return 0.5 max((V - R)^2, (clip(V, V_old +- clip) - R)^2), weighted, of one micro-batch.

    Taken over the mask: all sampled tokens, or, for a turn-level critic, the first of each turn
    (`TokenBatch.at_turn_starts`).

    Args:
        batch: With `returns_BT` and `weights_BT`, and with `values_old_BT` unless `clip` is None.
        values_BT: V, with a gradient, of the state before each token.
        clip: How far a value may move from the old one before its gradient vanishes; None: no
            limit.

    Raises:
        UsageError: If something that the settings need is missing.
    """
    counted_BT = batch.mask_BT
    weights_BT = batch.need("weights_BT").masked_fill(~counted_BT, 0.0)
    returns_BT = batch.need("returns_BT").masked_fill(~counted_BT, 0.0)
    values_BT = values_BT.masked_fill(~counted_BT, 0.0)
    free_BT = (values_BT - returns_BT).square()
    error_BT = free_BT
    if clip is not None:
        old_BT = batch.need("values_old_BT").masked_fill(~counted_BT, 0.0)
        held_BT = old_BT + (values_BT - old_BT).clamp(-clip, clip)
        error_BT = torch.maximum(free_BT, (held_BT - returns_BT).square())
    difference_BT = (values_BT - returns_BT).detach()
    return ValueLoss(
        loss=0.5 * (weights_BT * error_BT).sum(),
        tokens=counted_BT.sum(),
        clipped=(error_BT > free_BT).sum(),
        error=difference_BT.sum(),
        squared_error=difference_BT.square().sum(),
    )
