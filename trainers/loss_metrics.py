"""`LossMetrics`: what a policy loss did, as sums that add up over micro-batches.

A mean of micro-batch means is wrong wherever micro-batches differ in size. Sums and one division at
the end are not, and they stay on the device until then.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LossMetrics:
    """Detached sums of one micro-batch; `+` merges micro-batches, `summary` reads them.

    Sums run over sampled tokens, unweighted, unless said otherwise.
    """

    tokens: Tensor
    policy: Tensor
    """The policy term of the loss, weighted."""
    kl: Tensor
    """The divergence from the reference, weighted as the loss is."""
    entropy: Tensor
    """Of the distributions that the tokens were drawn from, in nats; 0 if it was not computed."""
    clipped: Tensor
    """Tokens whose gradient the clip removed (whose weight it changed, in CISPO)."""
    dual_clipped: Tensor
    """Tokens at the bound of the dual clip."""
    ratio: Tensor
    approx_kl: Tensor
    """k3 of KL(pi_old || pi)."""
    rho: Tensor
    rho_capped: Tensor
    """Tokens whose mismatch ratio lay outside the bounds."""
    mismatch_kl: Tensor
    """k3 of KL(mu || pi_old)."""
    max_ratio: Tensor
    max_log_rho: Tensor
    """Largest |log(pi_old / mu)| of a token."""

    def __add__(self, other: "LossMetrics") -> "LossMetrics":
        merged: dict[str, Tensor] = {}
        for f in fields(self):
            mine, theirs = getattr(self, f.name), getattr(other, f.name)
            largest = f.name.startswith("max_")
            merged[f.name] = torch.maximum(mine, theirs) if largest else mine + theirs
        return LossMetrics(**merged)

    def summary(self) -> dict[str, float]:
        """Return the figures under the names that a run logs."""
        tokens = max(float(self.tokens), 1.0)
        return {
            "loss/policy": float(self.policy),
            "loss/kl": float(self.kl),
            "loss/entropy": float(self.entropy) / tokens,
            "loss/clip_fraction": float(self.clipped) / tokens,
            "loss/dual_clip_fraction": float(self.dual_clipped) / tokens,
            "loss/approx_kl": float(self.approx_kl) / tokens,
            "loss/ratio_mean": float(self.ratio) / tokens,
            "loss/ratio_max": float(self.max_ratio),
            "drift/kl": float(self.mismatch_kl) / tokens,
            "drift/rho_mean": float(self.rho) / tokens,
            "drift/rho_capped_fraction": float(self.rho_capped) / tokens,
            "drift/log_rho_max": float(self.max_log_rho),
        }
