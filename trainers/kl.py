"""Estimators of a divergence from one sampled token: k1, k2, k3 (Schulman, 2020).

With x = log ref - log pi at a token that pi sampled, each estimates KL(pi || ref): k1 = -x,
unbiased and often negative; k2 = x^2 / 2, biased and never negative; k3 = exp(x) - x - 1, unbiased
and never negative.

As a loss they differ in another way. The gradient of k2 is, on policy, that of KL(pi || ref); the
gradient of k3 is that of KL(ref || pi); that of k1 has mean 0, so k1 belongs in a reward.
Multiplying k3 by the ratio pi / pi_old makes its gradient the right one, off policy too
(`PolicyLossConfig.kl_ratio`).
"""

from enum import StrEnum

from torch import Tensor

KL_LIMIT = 10.0
"""Estimates are clamped to this on both sides: one token must not own the gradient."""

LOG_LIMIT = 20.0
"""Log-ratios are clamped to this on both sides before exp."""


class KLEstimator(StrEnum):
    """Which estimate; the formulas are above."""

    K1 = "k1"
    K2 = "k2"
    K3 = "k3"


def kl_estimate(logprobs: Tensor, logprobs_ref: Tensor, estimator: KLEstimator) -> Tensor:
    """Return the estimate of KL(pi || ref) at each sampled token, in nats; any one shape."""
    x = logprobs_ref - logprobs
    match estimator:
        case KLEstimator.K1:
            estimate = -x
        case KLEstimator.K2:
            estimate = 0.5 * x.square()
        case KLEstimator.K3:
            x = x.clamp(-LOG_LIMIT, LOG_LIMIT)
            # expm1 keeps the digits that exp(x) - 1 loses near 0, where the estimate is x^2 / 2.
            estimate = x.expm1() - x
    return estimate.clamp(-KL_LIMIT, KL_LIMIT)
