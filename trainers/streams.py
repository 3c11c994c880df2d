"""`ActionStream`: the sampled tokens of a batch in the order in which they were sampled.

Credit flows from action token to action token. Laying them end to end, trajectory by trajectory,
takes prompts, observations and padding out of every recursion by construction, and joins the pieces
of a trajectory that lies in several rows. `gather` goes from (B, T) to (M,), `scatter` goes back.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from agentgym.errors import DataError
from agentgym.trainers.batch import TokenBatch, TurnTable


@dataclass(frozen=True, slots=True)
class ActionStream:
    """The M sampled tokens of a batch, by trajectory, then turn, then position; on the CPU.

    Attributes:
        index_M: int64, position in the flattened (B, T) batch.
        row_M: int64, row of the token's turn in the turn table; non-decreasing.
        trajectory_M: int64, number of the token's trajectory; non-decreasing.
        rewards_M: float64, the turn's reward on its last token, 0 elsewhere.
        last_of_turn_M: bool.
        last_of_trajectory_M: bool.
        turns: Rows of the turn table, K.
        shape: (B, T).
    """

    index_M: Tensor
    row_M: Tensor
    trajectory_M: Tensor
    rewards_M: Tensor
    last_of_turn_M: Tensor
    last_of_trajectory_M: Tensor
    turns: int
    shape: tuple[int, int]

    @classmethod
    def of(cls, batch: TokenBatch, table: TurnTable) -> Self:
        """Return the stream of `batch`, whose trajectories are numbered as in `table`.

        Raises:
            DataError: If a turn of a valid trajectory has a reward and no sampled token to carry
                it.
        """
        index_M = batch.mask_BT.flatten().nonzero().squeeze(1)
        row_BT = table.first_row_N[batch.trajectory_B][:, None] + batch.turn_id_BT
        row_M, order = row_BT.flatten()[index_M].sort(stable=True)
        last_of_turn_M = _ends(row_M)
        lost_K = table.valid_K & (table.reward_K != 0)
        lost_K[row_M] = False
        if lost_K.any():
            k = int(lost_K.nonzero()[0])
            raise DataError(
                f"Turn {int(table.turn_K[k])} of trajectory {int(table.trajectory_K[k])} earned "
                f"{float(table.reward_K[k]):g} and has no sampled token to carry it; "
                "use a turn-level estimator, or mark the trajectory invalid."
            )
        return cls(
            index_M=index_M[order],
            row_M=row_M,
            trajectory_M=table.trajectory_K[row_M],
            rewards_M=torch.where(last_of_turn_M, table.reward_K[row_M], 0.0),
            last_of_turn_M=last_of_turn_M,
            last_of_trajectory_M=_ends(table.trajectory_K[row_M]),
            turns=len(table),
            shape=batch.shape,
        )

    def __len__(self) -> int:
        return len(self.index_M)

    @property
    def actions_K(self) -> Tensor:
        """Sampled tokens of each turn, int64."""
        return torch.bincount(self.row_M, minlength=self.turns)

    def gather(self, values_BT: Tensor) -> Tensor:
        """Return the values at the sampled tokens, (M,) float64."""
        return values_BT.detach().cpu().to(torch.float64).flatten()[self.index_M]

    def scatter(self, values_M: Tensor) -> Tensor:
        """Return the values at their places, (B, T) float32; 0 on every other token."""
        flat = torch.zeros(self.shape[0] * self.shape[1], dtype=torch.float32)
        flat[self.index_M] = values_M.to(torch.float32)
        return flat.view(self.shape)

    def sum_K(self, values_M: Tensor) -> Tensor:
        """Return the sum over each turn's tokens, (K,)."""
        return values_M.new_zeros(self.turns).index_add(0, self.row_M, values_M)

    def first_K(self, values_M: Tensor) -> Tensor:
        """Return the value at each turn's first token, (K,); 0 for turns that are not in the batch.

        With a critic's values this is the value of the last prompt token before the turn.
        """
        starts_M = torch.ones_like(self.last_of_turn_M)
        starts_M[1:] = self.last_of_turn_M[:-1]
        return self._pick_K(values_M, starts_M)

    def last_K(self, values_M: Tensor) -> Tensor:
        """Return the value at each turn's last token, (K,); 0 for turns not in the batch."""
        return self._pick_K(values_M, self.last_of_turn_M)

    def _pick_K(self, values_M: Tensor, chosen_M: Tensor) -> Tensor:
        picked_K = values_M.new_zeros(self.turns)
        picked_K[self.row_M[chosen_M]] = values_M[chosen_M]
        return picked_K


def _ends(ids_M: Tensor) -> Tensor:
    ends_M = torch.ones_like(ids_M, dtype=torch.bool)
    ends_M[:-1] = ids_M[1:] != ids_M[:-1]
    return ends_M
