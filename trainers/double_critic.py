"""`DoubleCritic`: Q(s, a) and V(s) of whole turns, two heads each, and their losses.

    y_Qj = r + gamma (1 - terminal) Vbar_j(s')        head j bootstraps from head j
    y_Vj = Qbar_j(s, a~),  a~ ~ pi(.|s)               or the expectile of Qbar_j(s, a), a as stored
    bar  <- (1 - tau) bar + tau theta                 after each step, encoder included

ArCHer, arXiv 2402.19446, section 4 and appendix; the expectile is IQL's (arXiv 2110.06169, eq. 5).
The minimum of the two heads is taken where actions are judged, and nowhere else.

Shape suffixes: N texts, H features; the two heads come first, as in `q_2N`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from agentgym.trainers.encoders import Encoder
from agentgym.trajectory import Ids


class DoubleHead(nn.Module):
    """Two perceptrons side by side on the same features; both start at 0 everywhere.

    Args:
        size: Length of a feature vector.
        hidden: Width of the two hidden layers.
    """

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(_perceptron(size, hidden) for _ in range(2))

    def forward(self, features_NF: Tensor) -> Tensor:
        """Return (2, N) values of (N, F) features."""
        return torch.stack([head(features_NF).squeeze(-1) for head in self.heads])


class DoubleCritic(nn.Module):
    """Two Q heads and two V heads over one encoder, which reads states and actions apart.

    Args:
        encoder: Makes vectors of texts.
        hidden: Width of the heads.
    """

    def __init__(self, encoder: Encoder, hidden: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.q_heads = DoubleHead(2 * encoder.size, hidden)
        self.v_heads = DoubleHead(encoder.size, hidden)

    def encode(self, *groups: Sequence[Ids]) -> list[Tensor]:
        """Return the (N, H) vectors of each group of states or of actions."""
        return self.encoder.together(*groups)

    def q(self, states_NH: Tensor, actions_NH: Tensor) -> Tensor:
        """Return Q of encoded states and actions, (2, N)."""
        return self.q_heads(torch.cat([states_NH, actions_NH], -1))

    def v(self, states_NH: Tensor) -> Tensor:
        """Return V of encoded states, (2, N)."""
        return self.v_heads(states_NH)


@torch.no_grad()
def soft_update(target: nn.Module, source: nn.Module, tau: float) -> None:
    """Move every weight of `target` towards `source` by `tau`: 0 leaves it, 1 copies."""
    for theirs, ours in zip(target.parameters(), source.parameters(), strict=True):
        theirs.lerp_(ours, tau)


def bootstrapped(rewards_N: Tensor, next_values_2N: Tensor, gamma: float) -> Tensor:
    """Return y_Q, (2, N), without a gradient; `next_values_2N` is 0 where the episode was over."""
    return (rewards_N + gamma * next_values_2N).detach()


def regression(predicted_2N: Tensor, wanted_2N: Tensor) -> Tensor:
    """Return the sum over heads of the mean squared error."""
    return (predicted_2N - wanted_2N.detach()).square().mean(1).sum()


def expectile_regression(predicted_2N: Tensor, wanted_2N: Tensor, expectile: float) -> Tensor:
    """Return the sum over heads of the mean |u - 1(x < 0)| x^2 of x = wanted - predicted.

    With u = 0.5 it is half the squared error; towards 1 what is predicted goes towards the largest
    value that is wanted.
    """
    missing_2N = wanted_2N.detach() - predicted_2N
    side_2N = torch.where(missing_2N < 0, 1 - expectile, expectile)
    return (side_2N * missing_2N.square()).mean(1).sum()


def _perceptron(size: int, hidden: int) -> nn.Module:
    last = nn.Linear(hidden, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last
    )
