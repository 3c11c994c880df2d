"""Discounted returns, on the turn table and on the stream of sampled tokens.

Both are one recurrence, y_t = x_t + decay_t * y_{t+1}, over a flat array in which a decay of 0 ends
a trajectory. `suffix_scan` solves it in log2(n) vectorised steps, and `gae.py` builds on it too.

A discount is per turn unless it is named per token: an observation of a thousand tokens is no
reason to value what comes after it less.
"""

import torch
from torch import Tensor

from agentgym.trainers.batch import TurnTable
from agentgym.trainers.streams import ActionStream


def suffix_scan(x: Tensor, decay: Tensor) -> Tensor:
    """Return y with y[t] = x[t] + decay[t] * y[t + 1], and y = x at the end; shapes (n,), float64.

    Pairs (decay, x) compose associatively, so doubling the stride each time needs log2(n) steps.
    """
    y, carry = x.to(torch.float64).clone(), decay.to(torch.float64).clone()
    stride = 1
    while stride < len(y):
        y[:-stride] = y[:-stride] + carry[:-stride] * y[stride:]
        carry[:-stride] = carry[:-stride] * carry[stride:]
        stride *= 2
    return y


def decays(ends: Tensor, gamma: float) -> Tensor:
    """Return `gamma`, and 0 where `ends` is True; float64."""
    return torch.full(ends.shape, gamma, dtype=torch.float64).masked_fill(ends, 0.0)


def discounts(stream: ActionStream, *, gamma_turn: float, gamma_tok: float) -> Tensor:
    """Return the discount over each sampled token, (M,) float64."""
    gamma_M = torch.full(stream.index_M.shape, gamma_tok, dtype=torch.float64)
    return gamma_M.masked_fill(stream.last_of_turn_M, gamma_turn)


def turn_returns(
    table: TurnTable, *, gamma: float = 1.0, final_values_N: Tensor | None = None
) -> Tensor:
    """Return G_k = r_k + gamma * G_{k+1}, (K,) float64.

    Args:
        table: The turns.
        gamma: Discount per turn.
        final_values_N: Value of the state after the last turn, used where the trajectory was
            truncated. Without it what lies beyond a limit is worth 0, as Monte-Carlo methods have
            it.
    """
    rewards_K = table.reward_K
    if final_values_N is not None:
        final_N = torch.where(table.truncated_N, final_values_N.to(torch.float64), 0.0)
        rewards_K = rewards_K + gamma * torch.where(table.last_K, final_N[table.trajectory_K], 0.0)
    return suffix_scan(rewards_K, decays(table.last_K, gamma))


def token_returns(
    stream: ActionStream, rewards_M: Tensor, *, gamma_turn: float = 1.0, gamma_tok: float = 1.0
) -> Tensor:
    """Return the discounted reward-to-go of each sampled token, (M,) float64.

    Observation tokens are not in the stream, so they neither end nor discount a return. (Released
    REINFORCE++ code reset the running return at masked tokens, which cut every action before a tool
    result off from the outcome; verl pull request 6376.)

    Args:
        stream: The sampled tokens in order.
        rewards_M: Rewards on them, such as a KL penalty per token plus `stream.rewards_M`.
        gamma_turn: Discount over the last token of a turn.
        gamma_tok: Discount over any other token.
    """
    decay_M = discounts(stream, gamma_turn=gamma_turn, gamma_tok=gamma_tok)
    return suffix_scan(rewards_M, decay_M.masked_fill(stream.last_of_trajectory_M, 0.0))
