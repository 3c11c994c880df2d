"""Generalised advantage estimation (arXiv 1506.02438, eq. 16) for episodes of turns of tokens.

Three forms over one recursion: `token_gae` (every sampled token is a step), `turn_gae` (every turn
is) and `bilevel_gae` (turns first, then the tokens within each). Values stand at the state *before*
a token is sampled. A trajectory that ended has nothing after it; one that a limit cut short
bootstraps from `final_values_N`, the value of the state it was left in, so that a time limit is no
verdict on the state.

`token_gae` discounts by gamma_turn over the last token of a turn and by gamma_tok inside it.
Inside, 1 is POAD (arXiv 2405.15821): a discount per token would make long actions worth less. Equal
gammas are plain token-level PPO.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from agentgym.trainers.batch import TurnTable
from agentgym.trainers.returns import decays, discounts, suffix_scan
from agentgym.trainers.streams import ActionStream


@dataclass(frozen=True, slots=True)
class AdvantageEstimate:
    """Advantages and what the critic should have said; same shape, float64.

    Attributes:
        advantages: A, over tokens (M,) or turns (K,).
        returns: A + V, the critic's targets.
    """

    advantages: Tensor
    returns: Tensor


def token_gae(
    stream: ActionStream,
    table: TurnTable,
    values_M: Tensor,
    final_values_N: Tensor,
    *,
    gamma_turn: float = 1.0,
    gamma_tok: float = 1.0,
    lam: float = 0.95,
    rewards_M: Tensor | None = None,
) -> AdvantageEstimate:
    """Return advantages and returns of the sampled tokens, (M,).

    Args:
        stream: The sampled tokens in order.
        table: The turns.
        values_M: The critic's values at them.
        final_values_N: Value of the state after the last turn; read where truncated only.
        gamma_turn: Discount over the last token of a turn.
        gamma_tok: Discount over any other token.
        lam: Lambda.
        rewards_M: Rewards per token; by default each turn's reward on its last token.
    """
    values_M = values_M.to(torch.float64)
    rewards_M = stream.rewards_M if rewards_M is None else rewards_M.to(torch.float64)
    gamma_M = discounts(stream, gamma_turn=gamma_turn, gamma_tok=gamma_tok)
    final_N = _bootstrap_N(table, final_values_N)
    next_M = torch.where(
        stream.last_of_trajectory_M, final_N[stream.trajectory_M], _shift(values_M)
    )
    delta_M = rewards_M + gamma_M * next_M - values_M
    decay_M = (gamma_M * lam).masked_fill(stream.last_of_trajectory_M, 0.0)
    advantages_M = suffix_scan(delta_M, decay_M)
    return AdvantageEstimate(advantages_M, advantages_M + values_M)


def turn_gae(
    table: TurnTable,
    values_K: Tensor,
    final_values_N: Tensor,
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
) -> AdvantageEstimate:
    """Return advantages and returns of the turns, (K,); 0 in invalid trajectories.

    Args:
        table: The turns.
        values_K: Value at each turn's start (`stream.first_K`): one figure per turn is the cheapest
            critic.
        final_values_N: Value of the state after the last turn; read where truncated only.
        gamma: Discount per turn.
        lam: Lambda.
    """
    values_K = values_K.to(torch.float64)
    final_N = _bootstrap_N(table, final_values_N)
    next_K = torch.where(table.last_K, final_N[table.trajectory_K], _shift(values_K))
    delta_K = table.reward_K + gamma * next_K - values_K
    advantages_K = suffix_scan(delta_K, decays(table.last_K, gamma * lam))
    advantages_K = torch.where(table.valid_K, advantages_K, 0.0)
    return AdvantageEstimate(advantages_K, torch.where(table.valid_K, advantages_K + values_K, 0.0))


def bilevel_gae(
    stream: ActionStream,
    table: TurnTable,
    values_M: Tensor,
    final_values_N: Tensor,
    *,
    gamma_turn: float = 0.95,
    gamma_tok: float = 1.0,
    lam: float = 1.0,
) -> AdvantageEstimate:
    """Return VAGEN's bi-level advantages and returns of the sampled tokens, (M,).

    First over turns, on the value at each turn's last token: that gives the turn a return. Then
    within each turn, from its last token to its first, with that return as the reward and nothing
    after it.

    Turns come from the turn table. Released code finds them by their reward not being 0, so that a
    turn without reward vanishes and the advantages change.

    Args:
        stream: The sampled tokens in order.
        table: The turns.
        values_M: The critic's values at the tokens.
        final_values_N: Value of the state after the last turn; read where truncated only.
        gamma_turn: Discount from turn to turn.
        gamma_tok: Discount from token to token within a turn.
        lam: Lambda, of both passes.
    """
    values_M = values_M.to(torch.float64)
    turns = turn_gae(table, stream.last_K(values_M), final_values_N, gamma=gamma_turn, lam=lam)
    ends_M = stream.last_of_turn_M
    rewards_M = torch.where(ends_M, turns.returns[stream.row_M], 0.0)
    delta_M = rewards_M + gamma_tok * torch.where(ends_M, 0.0, _shift(values_M)) - values_M
    advantages_M = suffix_scan(delta_M, decays(ends_M, gamma_tok * lam))
    return AdvantageEstimate(advantages_M, advantages_M + values_M)


def _bootstrap_N(table: TurnTable, final_values_N: Tensor) -> Tensor:
    return torch.where(table.truncated_N, final_values_N.detach().cpu().to(torch.float64), 0.0)


def _shift(values: Tensor) -> Tensor:
    return torch.cat([values[1:], values.new_zeros(1)])
