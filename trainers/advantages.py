"""Critic-free advantages: group and batch baselines over trajectories.

Every statistic is taken over trajectories, never over rows or token positions, and never over an
episode that the world failed. A `TurnTable` goes in, one advantage per turn comes out;
`spread_over_tokens` hands a turn's advantage to its sampled tokens.

| estimator | A_i | source |
|---|---|---|
| `group_z_score` | (R_i - mean) / (std + eps), std with n - 1 | GRPO, arXiv 2402.03300, 4.1.2 |
| `group_centred` | R_i - mean | Dr. GRPO, arXiv 2503.20783, section 3.2 |
| `leave_one_out` | R_i - mean of the others | RLOO, arXiv 2402.14740, section 3.3 |
| `batch_whitened` | (G_k - mean) / (std + eps) over the batch | REINFORCE++, arXiv 2501.03262 |
| `batch_whitened_group_centred` | R_i - group mean, whitened over the batch | the same, -baseline |

Deviations from released code, each with a switch:
- A group with one valid member has advantage 0. Released code takes mean 0 and std 1 there, so the
  raw reward becomes the advantage and its scale is not that of any other group's
  (`LoneMember.RAW`).
- REINFORCE++ whitens over turns so weighted that each trajectory counts once. Released code whitens
  over tokens, so long trajectories set the mean (`WhitenOver.TOKENS`).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from agentgym.config import Config
from agentgym.errors import UsageError
from agentgym.trainers.batch import TokenBatch, TurnTable
from agentgym.trainers.returns import turn_returns


class LoneMember(StrEnum):
    """What a group with a single valid member teaches."""

    ZERO = "zero"
    """Nothing: there is nothing to compare it with."""
    RAW = "raw"
    """Its reward as it is, the convention of released code."""


class WhitenOver(StrEnum):
    """What counts once in a batch-wide mean and standard deviation."""

    TRAJECTORIES = "trajectories"
    TOKENS = "tokens"


class AdvantageEstimator(StrEnum):
    """How a trajectory is compared with others; the table above has the formulas."""

    GROUP_Z_SCORE = "group_z_score"
    GROUP_CENTRED = "group_centred"
    LEAVE_ONE_OUT = "leave_one_out"
    BATCH_WHITENED = "batch_whitened"
    BATCH_WHITENED_GROUP_CENTRED = "batch_whitened_group_centred"


class AdvantageConfig(Config):
    """Settings of `turn_advantages`."""

    estimator: AdvantageEstimator = AdvantageEstimator.GROUP_Z_SCORE
    gamma: float = Field(
        default=1.0, ge=0, le=1, description="discount per turn, for `batch_whitened`"
    )
    eps: float = Field(default=1e-6, gt=0, description="added to a standard deviation")
    lone_member: LoneMember = LoneMember.ZERO
    whiten_over: WhitenOver = WhitenOver.TRAJECTORIES


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """Each member's group's figures, over valid members only; float64.

    Attributes:
        count_N: Number of valid members.
        mean_N: Mean; 0 in a group without valid members.
        std_N: Standard deviation with n - 1; 0 where there are fewer than two valid members.
        spread_N: Highest less lowest; exactly 0 where all are equal, -inf in a group without valid
            members.
    """

    count_N: Tensor
    mean_N: Tensor
    std_N: Tensor
    spread_N: Tensor

    @classmethod
    def of(cls, values_N: Tensor, group_N: Tensor, valid_N: Tensor) -> Self:
        """Return the statistics of `values_N` in the groups `group_N`."""
        groups, local_N = torch.unique(group_N, return_inverse=True)
        index, kept = local_N[valid_N], values_N[valid_N].to(torch.float64)
        zeros = torch.zeros(len(groups), dtype=torch.float64)
        count = zeros.index_add(0, index, torch.ones_like(kept))
        mean = zeros.index_add(0, index, kept) / count.clamp(min=1)
        squares = zeros.index_add(0, index, (kept - mean[index]) ** 2)
        std = (squares / (count - 1).clamp(min=1)).sqrt()
        highest = (zeros - torch.inf).scatter_reduce(0, index, kept, "amax")
        lowest = (zeros + torch.inf).scatter_reduce(0, index, kept, "amin")
        return cls(count[local_N], mean[local_N], std[local_N], (highest - lowest)[local_N])


def group_z_score(
    outcome_N: Tensor,
    group_N: Tensor,
    valid_N: Tensor,
    *,
    eps: float = 1e-6,
    lone_member: LoneMember = LoneMember.ZERO,
) -> Tensor:
    """Return GRPO's advantages, (N,) float64: the z-score within the group, 0 where invalid."""
    stats = GroupStatistics.of(outcome_N, group_N, valid_N)
    centred_N = group_centred(outcome_N, group_N, valid_N, lone_member=lone_member)
    std_N = torch.where(stats.count_N > 1, stats.std_N, 1.0)
    return centred_N / (std_N + eps)


def group_centred(
    outcome_N: Tensor,
    group_N: Tensor,
    valid_N: Tensor,
    *,
    lone_member: LoneMember = LoneMember.ZERO,
) -> Tensor:
    """Return Dr. GRPO's advantages, (N,) float64: R_i - mean of the group; 0 where invalid."""
    stats = GroupStatistics.of(outcome_N, group_N, valid_N)
    outcome_N = outcome_N.to(torch.float64)
    # A mean of equal numbers may miss them by a rounding error, which a z-score would blow up.
    centred_N = torch.where(stats.spread_N == 0, 0.0, outcome_N - stats.mean_N)
    if lone_member is LoneMember.RAW:
        centred_N = torch.where(stats.count_N == 1, outcome_N, centred_N)
    return torch.where(valid_N, centred_N, 0.0)


def leave_one_out(
    outcome_N: Tensor,
    group_N: Tensor,
    valid_N: Tensor,
    *,
    lone_member: LoneMember = LoneMember.ZERO,
) -> Tensor:
    """Return RLOO's advantages, (N,) float64: R_i - mean of the others; 0 where invalid."""
    stats = GroupStatistics.of(outcome_N, group_N, valid_N)
    scale_N = stats.count_N / (stats.count_N - 1).clamp(min=1)
    return scale_N * group_centred(outcome_N, group_N, valid_N, lone_member=lone_member)


def whiten(values: Tensor, weights: Tensor | None = None, *, eps: float = 1e-6) -> Tensor:
    """Return (values - mean) / (std + eps), in float64.

    Args:
        values: Any shape.
        weights: How often each value counts, in the same shape; 1 each by default. What counts 0
            times comes back as 0.
        eps: Added to the standard deviation, which divides by the sum of weights less 1.
    """
    values = values.to(torch.float64)
    weights = torch.ones_like(values) if weights is None else weights.to(torch.float64)
    counted, total = weights > 0, weights.sum()
    if not counted.any() or bool((values[counted] == values[counted][0]).all()):
        return torch.zeros_like(values)
    mean = (weights * values).sum() / total
    centred = torch.where(counted, values - mean, 0.0)
    std = ((weights * centred**2).sum() / (total - 1).clamp(min=1)).sqrt()
    return centred / (std + eps)


def turn_advantages(
    table: TurnTable, config: AdvantageConfig, *, actions_K: Tensor | None = None
) -> Tensor:
    """Return one advantage per turn, (K,) float64, by a critic-free estimator; 0 where invalid.

    Args:
        table: The turns.
        config: Which estimator, and its settings.
        actions_K: Sampled tokens of each turn; `WhitenOver.TOKENS` needs it.

    Raises:
        UsageError: If `actions_K` is needed and missing.
    """
    if config.estimator is AdvantageEstimator.BATCH_WHITENED:
        returns_K = turn_returns(table, gamma=config.gamma)
        return whiten(returns_K, _counts_K(table, config, actions_K), eps=config.eps)
    outcome = (table.outcome_N, table.group_N, table.valid_N)
    lone = config.lone_member
    match config.estimator:
        case AdvantageEstimator.GROUP_Z_SCORE:
            advantages_N = group_z_score(*outcome, eps=config.eps, lone_member=lone)
        case AdvantageEstimator.GROUP_CENTRED:
            advantages_N = group_centred(*outcome, lone_member=lone)
        case AdvantageEstimator.LEAVE_ONE_OUT:
            advantages_N = leave_one_out(*outcome, lone_member=lone)
        case AdvantageEstimator.BATCH_WHITENED_GROUP_CENTRED:
            centred_K = group_centred(*outcome, lone_member=lone)[table.trajectory_K]
            return whiten(centred_K, _counts_K(table, config, actions_K), eps=config.eps)
    return advantages_N[table.trajectory_K]


def _counts_K(table: TurnTable, config: AdvantageConfig, actions_K: Tensor | None) -> Tensor:
    if config.whiten_over is WhitenOver.TRAJECTORIES:
        counts_K = 1 / table.turns_N[table.trajectory_K].to(torch.float64)
    elif actions_K is None:
        raise UsageError("whiten_over='tokens' needs actions_K, the sampled tokens of each turn.")
    else:
        counts_K = actions_K.to(torch.float64)
    return torch.where(table.valid_K, counts_K, 0.0)


def carries_signal(
    score_N: Tensor, group_N: Tensor, valid_N: Tensor, *, tolerance: float = 0.0
) -> Tensor:
    """Return DAPO's dynamic-sampling filter, (N,) bool: which trajectories' groups teach something.

    A group is kept where at least two valid members differ in their score by more than `tolerance`
    (arXiv 2503.14476, eq. 11). Score with the task's own outcome: a shaped reward, such as a length
    penalty, would make an all-fail group look mixed. Invalid members are never kept.
    """
    return valid_N & (GroupStatistics.of(score_N, group_N, valid_N).spread_N > tolerance)


def spread_over_tokens(advantages_K: Tensor, table: TurnTable, batch: TokenBatch) -> Tensor:
    """Return each sampled token's turn's advantage, (B, T) float32; 0 on every other token."""
    row_BT = table.first_row_N[batch.trajectory_B][:, None] + batch.turn_id_BT
    picked_BT = advantages_K.to(torch.float32)[row_BT.clamp(min=0)]
    return torch.where(batch.mask_BT, picked_BT, 0.0)
