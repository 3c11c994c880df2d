"""`Segments`: sums and means over a trajectory's or a turn's sampled tokens, spread back over them.

A sequence-level ratio, a sequence-level importance weight and a per-sequence mean all need the same
step: reduce the masked tokens of a unit, then hand every token its unit's figure. The unit is a
trajectory or a turn and never a row, since one trajectory may lie in several rows.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from agentgym.errors import UsageError
from agentgym.trainers.batch import TokenBatch


@dataclass(frozen=True, slots=True)
class Segments:
    """Which unit each token belongs to.

    Attributes:
        index_BT: int64 in [0, size]; `size` collects the tokens outside every unit.
        size: An upper bound on the number of units; some may be empty.
    """

    index_BT: Tensor
    size: int

    @classmethod
    def trajectories(cls, batch: TokenBatch) -> Self:
        """One unit per trajectory in the batch."""
        local_B, size = _renumber(batch.trajectory_B)
        index_BT = local_B[:, None].expand(batch.mask_BT.shape)
        return cls(torch.where(batch.mask_BT, index_BT, size), size)

    @classmethod
    def whole_trajectories(cls, batch: TokenBatch) -> Self:
        """One unit per trajectory, all of whose rows must be in the batch.

        Raises:
            UsageError: If rows of a trajectory are missing, so that its figures would be those of a
                part.
        """
        units = cls.trajectories(batch)
        if not torch.equal(units.spread(units.counts())[batch.mask_BT], _actions(batch)):
            raise UsageError(
                "A trajectory lies in several micro-batches, and a sequence-level ratio needs all "
                "of it in one; plan the micro-batches with keep_together=batch.trajectory_B."
            )
        return units

    @classmethod
    def turns(cls, batch: TokenBatch) -> Self:
        """One unit per turn in the batch."""
        local_B, trajectories = _renumber(batch.trajectory_B)
        turns = int(batch.turn_id_BT.max()) + 1
        index_BT = local_B[:, None] * turns + batch.turn_id_BT
        size = trajectories * turns
        return cls(torch.where(batch.mask_BT, index_BT, size), size)

    def sum(self, values_BT: Tensor) -> Tensor:
        """Return each unit's sum, shape (size,)."""
        sums = values_BT.new_zeros(self.size + 1)
        return sums.index_add(0, self.index_BT.flatten(), values_BT.flatten())[: self.size]

    def counts(self) -> Tensor:
        """Return each unit's number of sampled tokens, shape (size,)."""
        return torch.bincount(self.index_BT.flatten(), minlength=self.size + 1)[: self.size]

    def spread(self, figures: Tensor) -> Tensor:
        """Return each token's unit's figure, shape (B, T); 0 outside every unit."""
        return torch.cat([figures, figures.new_zeros(1)])[self.index_BT]

    def spread_sum(self, values_BT: Tensor) -> Tensor:
        """Return each token's unit's sum, shape (B, T)."""
        return self.spread(self.sum(values_BT))

    def spread_mean(self, values_BT: Tensor) -> Tensor:
        """Return each token's unit's mean, shape (B, T)."""
        return self.spread(self.sum(values_BT) / self.counts().clamp(min=1))


def _actions(batch: TokenBatch) -> Tensor:
    return batch.actions_B[:, None].expand(batch.mask_BT.shape)[batch.mask_BT]


def _renumber(ids_B: Tensor) -> tuple[Tensor, int]:
    known, local_B = torch.unique(ids_B, return_inverse=True)
    return local_B, len(known)
