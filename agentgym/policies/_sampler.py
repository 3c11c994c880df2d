"""Sampling one id per row, each row with its own temperature, truncation and random numbers.

Randomness is a function of (seed, position), not the state of a generator: a request draws the same
numbers whatever else is in its batch, and a batch draws all of its numbers in one vector operation.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sampled:
    """One id per row.

    Attributes:
        ids_R: int64.
        logprobs_R: float32, under the distribution after temperature and truncation.
    """

    ids_R: Tensor
    logprobs_R: Tensor


def uniforms(seeds_R: npt.NDArray[np.uint64], positions_R: npt.NDArray[np.int64]) -> Floats:
    """Return numbers in [0, 1) made from seed and position by SplitMix64's mixing steps."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    bits = _mix(_mix(seeds_R + golden) + positions_R.astype(np.uint64) * golden)
    # 24 bits: as many as a float32 holds, so that 1.0 is never drawn.
    return ((bits >> np.uint64(40)).astype(np.float32)) * np.float32(2**-24)


def sample(
    logits_RV: Tensor,
    uniforms_R: Tensor,
    temperature_R: Tensor,
    top_k_R: Tensor,
    top_p_R: Tensor,
    *,
    truncates: bool,
) -> Sampled:
    """Draw an id per row by inverting the cumulative distribution.

    Args:
        logits_RV: The model's logits, any float type.
        uniforms_R: Numbers in [0, 1).
        temperature_R: Divides the logits; 0 is greedy, and its log-probability 0.
        top_k_R: Candidates; 0 for all.
        top_p_R: Nucleus mass.
        truncates: Whether any row has `top_k` or `top_p` in force; skips a sort where none has.
    """
    greedy_R = temperature_R == 0
    scaled_RV = logits_RV.float() / torch.where(greedy_R, 1.0, temperature_R)[:, None]
    if truncates:
        scaled_RV = _truncated(scaled_RV, top_k_R, top_p_R)
    logprobs_RV = torch.log_softmax(scaled_RV, dim=-1)
    cdf_RV = logprobs_RV.exp().cumsum(-1)
    total_R1 = cdf_RV[:, -1:]
    # Strictly below the total, or rounding could pick what lies behind the last candidate.
    below_R1 = torch.nextafter(total_R1, torch.zeros_like(total_R1))
    drawn_R1 = torch.minimum(uniforms_R[:, None] * total_R1, below_R1)
    ids_R1 = torch.searchsorted(cdf_RV, drawn_R1, right=True)
    ids_R1 = torch.where(greedy_R[:, None], logits_RV.argmax(-1, keepdim=True), ids_R1)
    logprobs_R = logprobs_RV.gather(-1, ids_R1)[:, 0].masked_fill(greedy_R, 0.0)
    return Sampled(ids_R1[:, 0], logprobs_R)


def _truncated(scaled_RV: Tensor, top_k_R: Tensor, top_p_R: Tensor) -> Tensor:
    """Set what top-k, then top-p among those, leaves out to -inf."""
    sorted_RV, order_RV = scaled_RV.sort(dim=-1, descending=True)
    size = scaled_RV.shape[-1]
    kept_R1 = torch.where(top_k_R > 0, top_k_R, size)[:, None]
    out_RV = torch.arange(size, device=scaled_RV.device)[None] >= kept_R1
    sorted_RV = sorted_RV.masked_fill(out_RV, -torch.inf)
    probs_RV = sorted_RV.softmax(-1)
    # The candidate that reaches the mass stays, and so does the first in any case.
    before_RV = probs_RV.cumsum(-1) - probs_RV
    beyond_RV = (before_RV >= top_p_R[:, None]) & (top_p_R < 1)[:, None]
    beyond_RV[:, 0] = False
    sorted_RV = sorted_RV.masked_fill(beyond_RV, -torch.inf)
    return torch.empty_like(scaled_RV).scatter_(-1, order_RV, sorted_RV)


def _mix(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
