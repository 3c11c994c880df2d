"""Sequence packing: a micro-batch as one row without padding, in which no sequence sees another.

`plan_micro_batches` deals sequences into micro-batches of about equal size under a token budget;
`pack` lays one micro-batch end to end. Positions restart with each sequence, and attention is told
where one ends (`attention.py`).

Shape suffix: P tokens of the packed row.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from agentgym.trainers.attention import Attention


def plan_micro_batches(
    lengths: Sequence[int],
    *,
    budget: int,
    keep_together: Sequence[int] | None = None,
    at_least: int = 1,
) -> list[list[int]]:
    """Deal sequences into as few micro-batches as fit the budget, about equally full.

    The longest goes first, each to the emptiest micro-batch (Graham's LPT rule). Deterministic.

    Args:
        lengths: Tokens of each sequence.
        budget: Most tokens per micro-batch. What is longer by itself gets one to itself.
        keep_together: Sequences with equal labels go into one micro-batch, as sequence-level ratios
            need of the rows of a trajectory; by default each sequence stands alone.
        at_least: Smallest number of micro-batches, for ranks that must take equally many steps.
            There may be fewer where there are fewer sequences.

    Returns:
        Indices into `lengths`, ascending within each micro-batch; every index exactly once.
    """
    atoms: dict[int, list[int]] = {}
    for i in range(len(lengths)):
        atoms.setdefault(keep_together[i] if keep_together else i, []).append(i)
    sizes = {label: sum(lengths[i] for i in rows) for label, rows in atoms.items()}
    order = sorted(atoms, key=lambda label: (-sizes[label], atoms[label]))
    alone = [atoms[label] for label in order if sizes[label] > budget]
    shared = order[len(alone) :]
    needed = math.ceil(sum(sizes[label] for label in shared) / max(budget, 1))
    count = min(max(at_least - len(alone), needed, 1), len(shared))
    while True:
        heap = [(0, n) for n in range(count)]
        bins: list[list[int]] = [[] for _ in range(count)]
        for label in shared:
            load, n = heapq.heappop(heap)
            bins[n] += atoms[label]
            heapq.heappush(heap, (load + sizes[label], n))
        if all(load <= budget for load, _ in heap):
            return alone + [sorted(rows) for rows in bins]
        count += 1


@dataclass(frozen=True, slots=True)
class Packed:
    """Sequences laid end to end.

    Attributes:
        input_ids_1P: int64.
        position_ids_1P: int64, from 0 in each sequence.
        sequence_P: int64, which sequence the token belongs to.
        source_P: int64, the token's place in the flattened (B, T) batch.
        lengths: Tokens of each sequence, in order.
        shape: (B, T) of the batch.
    """

    input_ids_1P: Tensor
    position_ids_1P: Tensor
    sequence_P: Tensor
    source_P: Tensor
    lengths: tuple[int, ...]
    shape: tuple[int, int]

    @classmethod
    def pack(cls, input_ids_BT: Tensor, lengths_B: Tensor) -> Self:
        """Return the sequences of a right-padded batch without their padding."""
        rows, width = input_ids_BT.shape
        position_BT = torch.arange(width, device=input_ids_BT.device).expand(rows, width)
        source_P = (position_BT < lengths_B[:, None]).flatten().nonzero().squeeze(1)
        return cls(
            input_ids_1P=input_ids_BT.flatten()[source_P][None],
            position_ids_1P=(source_P % width)[None],
            sequence_P=source_P // width,
            source_P=source_P,
            lengths=tuple(int(n) for n in lengths_B),
            shape=(rows, width),
        )

    def gather(self, values_BT: Tensor) -> Tensor:
        """Return a batch's values in packed order, (1, P)."""
        return values_BT.flatten()[self.source_P][None]

    def unpack(self, values_1P: Tensor) -> Tensor:
        """Return packed values in the batch's shape, (B, T); 0 on padding. Differentiable."""
        flat = values_1P.new_zeros(self.shape[0] * self.shape[1])
        return flat.index_put((self.source_P,), values_1P.squeeze(0)).view(self.shape)

    def mask_11PP(self) -> Tensor:
        """Return the block-diagonal causal mask, True where a query (row) may read a key."""
        same = self.sequence_P[:, None] == self.sequence_P[None, :]
        return same.tril()[None, None]

    def model_inputs(self, attention: Attention) -> dict[str, Any]:
        """Return the keyword arguments of a transformers model's forward."""
        inputs: dict[str, Any] = {
            "input_ids": self.input_ids_1P,
            "position_ids": self.position_ids_1P,
            "use_cache": False,
        }
        if attention is Attention.MASK:
            return inputs | {"attention_mask": self.mask_11PP()}
        ends = torch.tensor((0, *self.lengths), device=self.source_P.device).cumsum(0)
        ends = ends.to(torch.int32)
        longest = max(self.lengths)
        # Given a 4-D mask, transformers builds none. Ours is not read, and not P^2 large.
        unread = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=self.source_P.device)
        return inputs | {
            "attention_mask": unread if attention is Attention.VARLEN else None,
            "cu_seq_lens_q": ends,
            "cu_seq_lens_k": ends,
            "max_length_q": longest,
            "max_length_k": longest,
        }
