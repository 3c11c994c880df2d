"""One policy loss for every policy-gradient algorithm.

    x_t  = pi / pi_old, per token, turn or trajectory
    S_t  = min(x_t A_t, clip(x_t, 1 - clip_low, 1 + clip_high) A_t)         Surrogate.CLIP
    S_t  = max(S_t, dual_clip A_t) where A_t < 0                            arXiv 1912.09729, eq. 5
    loss = sum_t weights_t (-W_t S_t + kl_coef KL_t - entropy_coef H_t)

W corrects for the sampler not being the learner (`ratios.py`), the weights say what is averaged
(`aggregation.py`), and algorithms are settings (`settings.py`). Every term is a sum over tokens
with fixed weights, so micro-batches of any shape add up to the same loss and the same gradient.
"""

from dataclasses import dataclass
from enum import StrEnum

import torch
from pydantic import Field, model_validator
from torch import Tensor

from agentgym.config import Config
from agentgym.errors import UsageError
from agentgym.trainers.aggregation import Aggregation
from agentgym.trainers.batch import TokenBatch
from agentgym.trainers.kl import KLEstimator, kl_estimate
from agentgym.trainers.loss_metrics import LossMetrics
from agentgym.trainers.ratios import (
    CorrectionConfig,
    CorrectionLevel,
    RatioLevel,
    correction_weights,
    log_ratio,
    mismatch_ratio,
    policy_ratio,
)


class Surrogate(StrEnum):
    """What the ratio x does to the gradient as the policy moves away from pi_old."""

    CLIP = "clip"
    """PPO's pessimistic clipping (arXiv 1707.06347, eq. 7)."""
    NONE = "none"
    """x A as it is."""
    CISPO = "cispo"
    """sg[clip(x)] A log pi: no token loses its gradient (arXiv 2506.13585, eq. 4)."""
    SAPO = "sapo"
    """A sigmoid gate around x = 1 instead of a clip (arXiv 2511.20347)."""


class RatioAnchor(StrEnum):
    """The policy that the ratio is taken against."""

    OLD = "old"
    """The learner before the update; its mismatch with the sampler is corrected apart."""
    MU = "mu"
    """The sampler itself: one forward pass less, and the clip range holds for both at once."""


class PolicyLossConfig(Config):
    """Settings of `policy_loss`; the defaults are token-level PPO over a token mean."""

    ratio_level: RatioLevel = RatioLevel.TOKEN
    ratio_anchor: RatioAnchor = RatioAnchor.OLD
    surrogate: Surrogate = Surrogate.CLIP
    clip_low: float = Field(default=0.2, ge=0, description="the ratio is clipped at 1 - clip_low")
    clip_high: float = Field(default=0.2, ge=0, description="the ratio is clipped at 1 + clip_high")
    dual_clip: float | None = Field(
        default=None, gt=1, description="bound on the loss in units of |A| where A < 0; CLIP only"
    )
    sapo_tau_positive: float = Field(
        default=1.0, gt=0, description="SAPO's temperature where A > 0"
    )
    sapo_tau_negative: float = Field(
        default=1.05, gt=0, description="SAPO's temperature where A <= 0"
    )
    correction: CorrectionConfig = CorrectionConfig()
    aggregation: Aggregation = Aggregation.TOKEN_MEAN
    max_length: int | None = Field(
        default=None, gt=0, description="L of seq_sum_const: most sampled tokens per trajectory"
    )
    kl_coef: float = Field(
        default=0.0, ge=0, description="weight of the divergence from the reference"
    )
    kl_estimator: KLEstimator = KLEstimator.K3
    kl_ratio: bool = Field(
        default=False,
        description="multiply the estimate by pi / pi_old, which corrects its gradient",
    )
    entropy_coef: float = Field(default=0.0, ge=0, description="weight of the entropy bonus")

    @model_validator(mode="after")
    def _consistent(self) -> "PolicyLossConfig":
        if self.dual_clip is not None and self.surrogate is not Surrogate.CLIP:
            raise ValueError(f"dual_clip goes with surrogate 'clip', not {self.surrogate.value!r}")
        if self.dual_clip is not None and self.ratio_level is RatioLevel.NONE:
            raise ValueError("dual_clip bounds a ratio, and ratio_level is 'none'")
        if (
            self.ratio_anchor is RatioAnchor.MU
            and self.correction.level is not CorrectionLevel.NONE
        ):
            raise ValueError(
                "ratio_anchor 'mu' already accounts for the sampler; set correction.level to 'none'"
            )
        return self


@dataclass(frozen=True, slots=True)
class PolicyLoss:
    """What `policy_loss` returns.

    Attributes:
        loss: Scalar with a gradient: this micro-batch's share of the optimiser step's loss.
        metrics: Detached sums.
    """

    loss: Tensor
    metrics: LossMetrics


def policy_loss(
    config: PolicyLossConfig,
    batch: TokenBatch,
    logprobs_BT: Tensor,
    *,
    entropy_BT: Tensor | None = None,
) -> PolicyLoss:
    """Return the policy loss of one micro-batch.

    Args:
        config: Which loss.
        batch: With `advantages_BT` and `weights_BT`; with `logprobs_old_BT` unless the anchor is
            mu; with `logprobs_ref_BT` if `kl_coef` is not 0.
        logprobs_BT: log pi of the sampled tokens, float32, with a gradient. Read on the mask only.
        entropy_BT: Entropy of the distribution that each token was drawn from, in nats; needed,
            with a gradient, if `entropy_coef` is not 0, and logged if given.

    Raises:
        UsageError: If something that the settings need is missing.
    """
    mask_BT = batch.mask_BT
    advantages_BT = batch.need("advantages_BT")
    weights_BT = batch.need("weights_BT").masked_fill(~mask_BT, 0.0)
    if config.ratio_anchor is RatioAnchor.MU:
        old_BT = batch.logprobs_mu_BT
    else:
        old_BT = batch.need("logprobs_old_BT")
    logprobs_BT = logprobs_BT.masked_fill(~mask_BT, 0.0)

    ratio_BT = policy_ratio(batch, logprobs_BT, old_BT, config.ratio_level)
    surrogate_BT, clipped_BT = _surrogate(config, ratio_BT, advantages_BT, logprobs_BT)
    dual_BT = torch.zeros_like(mask_BT)
    if config.dual_clip is not None:
        bound_BT = config.dual_clip * advantages_BT
        dual_BT = (advantages_BT < 0) & (surrogate_BT < bound_BT)
        surrogate_BT = torch.where(dual_BT, bound_BT, surrogate_BT)
    rho_BT = mismatch_ratio(batch, old_BT, config.correction.level)
    correction_BT = correction_weights(rho_BT, config.correction)
    policy = (-weights_BT * correction_BT * surrogate_BT).sum()

    kl = entropy_sum = torch.zeros_like(policy)
    loss = policy
    if config.kl_coef > 0:
        ref_BT = batch.need("logprobs_ref_BT").masked_fill(~mask_BT, 0.0)
        kl_BT = kl_estimate(logprobs_BT, ref_BT, config.kl_estimator)
        if config.kl_ratio:
            kl_BT = kl_BT * policy_ratio(batch, logprobs_BT, old_BT, RatioLevel.TOKEN)
        kl = (weights_BT * kl_BT).sum()
        loss = loss + config.kl_coef * kl
    if entropy_BT is not None or config.entropy_coef > 0:
        if entropy_BT is None:
            raise UsageError(
                "entropy_coef is not 0, and no entropy_BT was given; compute it as well."
            )
        entropy_BT = entropy_BT.masked_fill(~mask_BT, 0.0)
        loss = loss - config.entropy_coef * (weights_BT * entropy_BT).sum()
        entropy_sum = entropy_BT.detach().sum()

    with torch.no_grad():
        moved_BT = log_ratio(logprobs_BT, old_BT, mask_BT)
        drift_BT = log_ratio(old_BT, batch.logprobs_mu_BT, mask_BT)
        outside_BT = (rho_BT < config.correction.low) | (rho_BT > config.correction.high)
        if config.correction.level is CorrectionLevel.NONE:
            outside_BT = torch.zeros_like(mask_BT)
        metrics = LossMetrics(
            tokens=mask_BT.sum(),
            policy=policy.detach(),
            kl=kl.detach(),
            entropy=entropy_sum,
            clipped=(clipped_BT & mask_BT).sum(),
            dual_clipped=(dual_BT & mask_BT).sum(),
            ratio=ratio_BT[mask_BT].sum(),
            approx_kl=kl_estimate(torch.zeros_like(moved_BT), moved_BT, KLEstimator.K3).sum(),
            rho=rho_BT[mask_BT].sum(),
            rho_capped=(outside_BT & mask_BT).sum(),
            mismatch_kl=kl_estimate(torch.zeros_like(drift_BT), drift_BT, KLEstimator.K3).sum(),
            max_ratio=torch.where(mask_BT, ratio_BT, 0.0).max(),
            max_log_rho=drift_BT.abs().max(),
        )
    return PolicyLoss(loss, metrics)


def _surrogate(
    config: PolicyLossConfig, ratio_BT: Tensor, advantages_BT: Tensor, logprobs_BT: Tensor
) -> tuple[Tensor, Tensor]:
    """Return S and where the clip took effect; both (B, T)."""
    nowhere_BT = torch.zeros_like(ratio_BT, dtype=torch.bool)
    if config.ratio_level is RatioLevel.NONE:
        return advantages_BT * logprobs_BT, nowhere_BT
    low, high = 1 - config.clip_low, 1 + config.clip_high
    match config.surrogate:
        case Surrogate.NONE:
            return ratio_BT * advantages_BT, nowhere_BT
        case Surrogate.CLIP:
            inside_BT = ratio_BT.clamp(low, high)
            surrogate_BT = torch.minimum(ratio_BT * advantages_BT, inside_BT * advantages_BT)
            above_BT = (advantages_BT > 0) & (ratio_BT > high)
            below_BT = (advantages_BT < 0) & (ratio_BT < low)
            return surrogate_BT, above_BT | below_BT
        case Surrogate.CISPO:
            held_BT = ratio_BT.detach()
            clipped_BT = (held_BT < low) | (held_BT > high)
            return held_BT.clamp(low, high) * advantages_BT * logprobs_BT, clipped_BT
        case Surrogate.SAPO:
            tau_BT = torch.where(
                advantages_BT > 0, config.sapo_tau_positive, config.sapo_tau_negative
            )
            gate_BT = 4 / tau_BT * torch.sigmoid(tau_BT * (ratio_BT - 1))
            return gate_BT * advantages_BT, nowhere_BT
