"""Importance ratios: the policy's own (pi / pi_old) and the rollout's mismatch (pi_old / mu).

`policy_ratio` is differentiable and comes per token, per turn or per trajectory. The last two are
GSPO's geometric mean with every token's gradient attached (arXiv 2507.18071, eq. 7 and 14): each
token carries its unit's value, and 1 / |unit| of its gradient once averaged.

`correction_weights` are constants that the loss is multiplied with. The sampler is never quite the
learner: its kernels, its precision and, in an asynchronous run, its weights differ. Masked tokens
have a log-ratio of 0, not whatever stood there.
"""

from enum import StrEnum

import torch
from pydantic import Field, model_validator
from torch import Tensor

from agentgym.config import Config
from agentgym.trainers.batch import TokenBatch
from agentgym.trainers.segments import Segments

LOG_RATIO_LIMIT = 20.0
"""Log-ratios are clamped to this on both sides before exp."""


class RatioLevel(StrEnum):
    """The unit that shares one ratio pi / pi_old."""

    NONE = "none"
    """No ratio: the score function itself, A * log pi (REINFORCE)."""
    TOKEN = "token"
    TURN = "turn"
    SEQUENCE = "sequence"


class CorrectionLevel(StrEnum):
    """The unit that shares one mismatch ratio pi_old / mu."""

    NONE = "none"
    TOKEN = "token"
    """Low variance; its bias grows with the length squared."""
    SEQUENCE = "sequence"
    """The product over the trajectory: unbiased; its variance is exponential in the length."""
    GEOMETRIC = "geometric"
    """The geometric mean over the trajectory: comparable across lengths, made for rejecting."""


class CorrectionAction(StrEnum):
    """What happens to a ratio outside the bounds."""

    TRUNCATE = "truncate"
    """It becomes the bound: truncated importance sampling."""
    MASK = "mask"
    """It becomes 0; inside the bounds the ratio is the weight."""
    REJECT = "reject"
    """It becomes 0; inside the bounds the weight is 1."""


class CorrectionConfig(Config):
    """Settings of `correction_weights`; of no effect where sampler and learner agree."""

    level: CorrectionLevel = CorrectionLevel.TOKEN
    action: CorrectionAction = CorrectionAction.TRUNCATE
    low: float = Field(default=0.0, ge=0, description="lower bound of pi_old / mu")
    high: float = Field(default=2.0, gt=0, description="upper bound of pi_old / mu")

    @model_validator(mode="after")
    def _ordered(self) -> "CorrectionConfig":
        if self.low > self.high:
            raise ValueError(f"low ({self.low:g}) lies above high ({self.high:g})")
        return self


def log_ratio(numerator_BT: Tensor, denominator_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Return log(numerator / denominator), (B, T), from log-probabilities; 0 off the mask."""
    return (numerator_BT - denominator_BT).masked_fill(~mask_BT, 0.0)


def policy_ratio(
    batch: TokenBatch, logprobs_BT: Tensor, old_BT: Tensor, level: RatioLevel
) -> Tensor:
    """Return x = pi / pi_old, (B, T), differentiable in `logprobs_BT`; 1 off the mask.

    Args:
        batch: The sequences.
        logprobs_BT: log pi.
        old_BT: log pi_old, a constant.
        level: The unit that shares a ratio; `NONE` is treated as `TOKEN`.

    Raises:
        UsageError: If `level` is `SEQUENCE` and the batch holds only a part of a trajectory.
    """
    log_BT = log_ratio(logprobs_BT, old_BT.detach(), batch.mask_BT)
    if level in (RatioLevel.TURN, RatioLevel.SEQUENCE):
        units = (
            Segments.turns(batch)
            if level is RatioLevel.TURN
            else Segments.whole_trajectories(batch)
        )
        log_BT = units.spread_mean(log_BT.detach()) + (log_BT - log_BT.detach())
    return log_BT.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def mismatch_ratio(batch: TokenBatch, old_BT: Tensor, level: CorrectionLevel) -> Tensor:
    """Return rho = pi_old / mu, (B, T), without gradient; 1 off the mask.

    Raises:
        UsageError: If the level is of a trajectory and the batch holds only a part of one.
    """
    log_BT = log_ratio(old_BT, batch.logprobs_mu_BT, batch.mask_BT).detach()
    if level is CorrectionLevel.SEQUENCE:
        log_BT = Segments.whole_trajectories(batch).spread_sum(log_BT)
    elif level is CorrectionLevel.GEOMETRIC:
        log_BT = Segments.whole_trajectories(batch).spread_mean(log_BT)
    return log_BT.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def correction_weights(rho_BT: Tensor, config: CorrectionConfig) -> Tensor:
    """Return the weight W of each token's loss, (B, T), from rho = pi_old / mu.

    Rejected tokens stay in the loss's denominator, so rejecting never makes the remaining ones
    louder.
    """
    if config.level is CorrectionLevel.NONE:
        return torch.ones_like(rho_BT)
    if config.action is CorrectionAction.TRUNCATE:
        return rho_BT.clamp(config.low, config.high)
    inside_BT = (rho_BT >= config.low) & (rho_BT <= config.high)
    kept_BT = rho_BT if config.action is CorrectionAction.MASK else torch.ones_like(rho_BT)
    return torch.where(inside_BT, kept_BT, 0.0)
