"""Penalties on rewards: useless actions, over-long trajectories, leaving the reference policy.

All go into the turn table (`TurnTable.with_rewards`) before any statistic is taken, so they
compete with the task's reward on its own scale.
"""

from enum import StrEnum

import torch
from torch import Tensor

from agentgym.errors import UsageError
from agentgym.trainers.batch import TurnTable
from agentgym.trainers.kl import KLEstimator, kl_estimate
from agentgym.trainers.streams import ActionStream


class PenaltyPer(StrEnum):
    """How often a trajectory pays for actions that did not parse or could not be done."""

    EPISODE = "episode"
    """Once if there is any, off the last turn, as ARPO does."""
    TURN = "turn"
    """For each, off the turn that it was, as verl-agent does."""


def penalise_actions(table: TurnTable, *, penalty: float, per: PenaltyPer) -> TurnTable:
    """Return the table with `penalty` taken off for actions that did not parse or were not done.

    Args:
        table: The turns.
        penalty: What one costs; not negative.
        per: What is counted.
    """
    counts_K = table.wrong_K.to(torch.float64)
    if per is PenaltyPer.TURN:
        return table.with_rewards(table.reward_K - penalty * counts_K)
    return add_outcome(table, -penalty * table.sum_N(counts_K).clamp(max=1))


def soft_overlong_penalty(length_N: Tensor, *, max_length: int, margin: int) -> Tensor:
    """Return DAPO's penalty, (N,) float64 in [-1, 0] (arXiv 2503.14476, eq. 13).

    0 up to `max_length - margin`, then linear to -1 at `max_length` and beyond.

    Args:
        length_N: Sampled tokens of each trajectory.
        max_length: The longest allowed.
        margin: Over how many tokens the penalty sets in.

    Raises:
        UsageError: If the margin is not in (0, max_length].
    """
    if not 0 < margin <= max_length:
        raise UsageError(
            f"margin is {margin}; it must lie between 1 and max_length ({max_length})."
        )
    over_N = length_N.to(torch.float64) - (max_length - margin)
    return -(over_N / margin).clamp(0.0, 1.0)


def add_outcome(table: TurnTable, bonus_N: Tensor) -> TurnTable:
    """Return the table with `bonus_N` added to the reward of each trajectory's last turn."""
    bonus_K = torch.where(table.last_K, bonus_N.to(torch.float64)[table.trajectory_K], 0.0)
    return table.with_rewards(table.reward_K + bonus_K)


def kl_penalty(
    stream: ActionStream, logprobs_old_BT: Tensor, logprobs_ref_BT: Tensor, *, coef: float
) -> Tensor:
    """Return -coef * (log pi_old - log ref) per sampled token, (M,) float64.

    This is k1, whose sum over a trajectory is an unbiased estimate of the divergence; as a reward
    it needs no gradient. `stream.sum_K` gives the penalty per turn.
    """
    kl_M = kl_estimate(
        stream.gather(logprobs_old_BT), stream.gather(logprobs_ref_BT), KLEstimator.K1
    )
    return -coef * kl_M
