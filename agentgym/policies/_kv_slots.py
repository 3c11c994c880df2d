"""`KVSlots`: keys and values of many episodes, and the attention that reads them.

A forward pass takes a flat row of ids, shape (1, N), from any number of episodes: one id from each
that decodes, many from each that reads a prompt. Every layer but attention treats ids alone, so
nothing is padded there. `attend`, which Hugging Face models call through their attention interface,
writes the new keys and values into the episodes' slots, and lets each bucket of equally long reads
attend to its slots.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

ATTENTION = "agentgym_slots"
Ints = npt.NDArray[np.int64]

# Lengths are rounded up to this: memory-efficient kernels want aligned masks.
_ALIGN = 8


class KVSlots:
    """Keys and values, per layer of shape (H, S, C, D): heads, slots, capacity, head size.

    Args:
        slots: S, how many episodes fit.
        max_length: Most ids per slot. Capacity starts small and doubles as episodes grow.
    """

    def __init__(self, slots: int, max_length: int) -> None:
        self.slots, self.max_length = slots, max_length
        self.capacity = min(max_length, 256)
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def reserve(self, length: int) -> None:
        """Make room for `length` ids in every slot."""
        if length <= self.capacity:
            return
        capacity = min(self.max_length, max(length, 2 * self.capacity))
        try:
            # Layer by layer, so that only one is there twice.
            for layer, (key, value) in self._layers.items():
                self._layers[layer] = self._grown(key, capacity), self._grown(value, capacity)
        except BaseException:
            # Some layers have grown and some haven't; whoever catches this must read again.
            self._layers.clear()
            raise
        self.capacity = capacity

    def copy(self, source: int, target: int, length: int) -> None:
        """Give one slot the first `length` keys and values of another."""
        for pair in self._layers.values():
            for part in pair:
                part[:, target, :length] = part[:, source, :length]

    def write(self, layer: int, cells_N: Tensor, key: Tensor, value: Tensor) -> None:
        """Store keys and values, both (1, H, N, D), at `slot * capacity + position`."""
        if layer not in self._layers:
            empty = [self._empty(new[0, :, None], self.capacity) for new in (key, value)]
            self._layers[layer] = empty[0], empty[1]
        for part, new in zip(self._layers[layer], (key, value), strict=True):
            part.view(part.shape[0], -1, part.shape[-1]).index_copy_(1, cells_N, new[0])

    def read(self, layer: int, span: int, rows_R: Tensor | None, length: int) -> tuple[Tensor, ...]:
        """Return keys and values (H, R, length, D) of the given slots, or of the first `span`."""
        if rows_R is None:
            return tuple(part[:, :span, :length] for part in self._layers[layer])
        if self.capacity <= 2 * length:
            # Whole slots are gathered at the speed of memory; a slice of all slots would be copied
            # as a whole before anything is taken from it.
            return tuple(p.index_select(1, rows_R)[:, :, :length] for p in self._layers[layer])
        return tuple(part[:, rows_R, :length] for part in self._layers[layer])

    def _empty(self, like: Tensor, capacity: int) -> Tensor:
        # Zeros, since a masked key still meets the softmax as 0 * value and garbage may hold NaN.
        return like.new_zeros(like.shape[0], self.slots, capacity, like.shape[-1])

    def _grown(self, part: Tensor, capacity: int) -> Tensor:
        grown = self._empty(part, capacity)
        grown[:, :, : self.capacity] = part
        return grown


@dataclass(slots=True)
class Bucket:
    """Reads of similar length that attend together.

    Attributes:
        span: The keys are those of the first `span` slots, where `slots_R` is None.
        slots_R: The slots whose keys are gathered.
        take_RQ: Which of the flat ids each query is; short reads repeat their last.
        keep_N: Which of the R * Q outputs are real; None for all.
        positions_RQ: Position of each query in its episode.
        length: Keys that the longest episode has.
    """

    span: int
    slots_R: Tensor | None
    take_RQ: Tensor
    keep_N: Tensor | None
    positions_RQ: Tensor
    length: int
    _bias: dict[tuple[int | None, int], Tensor] = field(
        default_factory=dict[tuple[int | None, int], Tensor]
    )

    def bias(self, window: int | None, groups: int, dtype: torch.dtype) -> Tensor:
        """Return what is added to the scores, (1, R, groups * Q, length): 0 or -inf."""
        key = window, groups
        if key not in self._bias:
            keys_L = torch.arange(self.length, device=self.positions_RQ.device)
            positions = self.positions_RQ[..., None]
            hidden = keys_L > positions
            if window is not None:
                hidden |= keys_L <= positions - window
            bias = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
            bias.masked_fill_(hidden, -torch.inf)
            rows, queries, length = hidden.shape
            spread = bias[:, None].expand(rows, groups, queries, length)
            self._bias[key] = spread.reshape(1, rows, groups * queries, length)
        return self._bias[key]


@dataclass(slots=True)
class Plan:
    """One forward pass: what is read, from where, at which positions.

    Attributes:
        kv: The slots.
        ids_N: What is read.
        cells_N: Where each id's key and value go.
        positions_N: Position of each id in its episode.
        last_R: Which of the flat ids is the last of each read.
        buckets: The reads, in the order of the flat ids.
    """

    kv: KVSlots
    ids_N: Tensor
    cells_N: Tensor
    positions_N: Tensor
    last_R: Tensor
    buckets: list[Bucket]


def make_plan(
    kv: KVSlots,
    tokens_SC: npt.NDArray[np.int32],
    slots_R: Ints,
    starts_R: Ints,
    takes_R: Ints,
    device: torch.device,
) -> Plan:
    """Lay out one forward pass.

    Args:
        kv: The slots, with room for what is read.
        tokens_SC: The ids of every slot.
        slots_R: The slots that read; sorted by `takes_R`, then by slot.
        starts_R: How many ids each slot holds already.
        takes_R: How many ids each reads now.
        device: Where the model is.
    """
    ends = np.cumsum(takes_R)
    offsets = np.arange(ends[-1]) - np.repeat(ends - takes_R, takes_R)
    positions = np.repeat(starts_R, takes_R) + offsets
    rows = np.repeat(slots_R, takes_R)
    # One transfer for everything of length N.
    flat = np.stack([tokens_SC[rows, positions], rows * kv.capacity + positions, positions])
    ids_N, cells_N, positions_N = torch.from_numpy(flat).to(device)
    buckets: list[Bucket] = []
    low = 0
    while low < len(takes_R):
        # One id per row is its own bucket: that is decoding. Longer reads share one up to twice the
        # shortest, so that padding, which only attention sees, stays below half.
        widest = 1 if takes_R[low] == 1 else 2 * int(takes_R[low]) + 8
        high = int(np.searchsorted(takes_R, widest, side="right"))
        first = int(ends[low] - takes_R[low])
        part = slice(low, high)
        buckets.append(_bucket(kv, slots_R[part], starts_R[part], takes_R[part], first, device))
        low = high
    return Plan(
        kv=kv,
        ids_N=ids_N,
        cells_N=cells_N,
        positions_N=positions_N,
        last_R=torch.from_numpy(ends - 1).to(device),
        buckets=buckets,
    )


def _bucket(
    kv: KVSlots, slots: Ints, starts: Ints, takes: Ints, first: int, device: torch.device
) -> Bucket:
    queries = int(takes.max())
    within = np.minimum(np.arange(queries)[None], takes[:, None] - 1)
    take = (first + np.cumsum(takes) - takes)[:, None] + within
    positions = starts[:, None] + within
    length = min(int(-(-(starts + takes).max() // _ALIGN) * _ALIGN), kv.capacity)
    keep: Ints | None = None
    if (takes < queries).any():
        keep = np.flatnonzero(np.arange(queries)[None] < takes[:, None])
    span = int(slots.max()) + 1
    gathered: Ints | None = slots
    if len(slots) * 4 >= span and queries == 1:
        # Decoding is bound by reading keys. To attend from the idle slots among the first ones as
        # well reads each key once; gathering reads, writes and reads those of the busy ones.
        gathered = None
        if len(slots) < span:
            spread_take, spread_positions = np.zeros((2, span, 1), np.int64)
            spread_take[slots], spread_positions[slots] = take, positions
            take, positions, keep = spread_take, spread_positions, slots
    elif np.array_equal(slots, np.arange(span)):
        gathered = None

    def put(array: Ints | None) -> Tensor | None:
        return None if array is None else torch.from_numpy(array).to(device)

    return Bucket(
        span=span,
        slots_R=put(gathered),
        take_RQ=torch.from_numpy(take).to(device),
        keep_N=put(keep),
        positions_RQ=torch.from_numpy(positions).to(device),
        length=length,
    )


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    slot_plan: Plan,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attend from the new ids to their episodes; the attention interface of Hugging Face models.

    Args:
        module: The attention layer.
        query: (1, Hq, N, D), where Hq is a multiple of the key heads H.
        key: (1, H, N, D), of the new ids.
        value: (1, H, N, D).
        attention_mask: Unused; the plan says who sees whom.
        slot_plan: The forward pass.
        scaling: Multiplies the scores.
        sliding_window: How far back an id sees; None for all the way.
        softcap: Bounds the scores, where the model does that.
        s_aux: (Hq,) scores of attention sinks, where the model has them.

    Returns:
        (1, N, Hq, D), and no attention weights.
    """
    del attention_mask
    layer = int(module.layer_idx)  # pyright: ignore[reportArgumentType]
    slot_plan.kv.write(layer, slot_plan.cells_N, key, value)
    heads, groups = key.shape[1], query.shape[1] // key.shape[1]
    size = query.shape[-1]
    outputs: list[Tensor] = []
    for bucket in slot_plan.buckets:
        keys, values = slot_plan.kv.read(layer, bucket.span, bucket.slots_R, bucket.length)
        rows, queries = bucket.take_RQ.shape
        taken = query[0].index_select(1, bucket.take_RQ.view(-1))
        # Query heads that share a key head become further queries of it: (H, R, groups * Q, D).
        folded = taken.view(heads, groups, rows, queries, size).transpose(1, 2)
        folded = folded.reshape(heads, rows, groups * queries, size)
        bias = bucket.bias(sliding_window, groups, query.dtype)
        if softcap is None and s_aux is None:
            out = scaled_dot_product_attention(folded, keys, values, attn_mask=bias, scale=scaling)
        else:
            scores = folded @ keys.transpose(-1, -2) * (size**-0.5 if scaling is None else scaling)
            out = _weights(scores, bias, softcap, s_aux) @ values
        out = out.view(heads, rows, groups, queries, -1).permute(1, 3, 0, 2, 4)
        out = out.reshape(rows * queries, heads * groups, -1)
        outputs.append(out if bucket.keep_N is None else out.index_select(0, bucket.keep_N))
    return (outputs[0] if len(outputs) == 1 else torch.cat(outputs))[None], None


def _weights(scores: Tensor, bias: Tensor, softcap: float | None, s_aux: Tensor | None) -> Tensor:
    """Return attention weights (H, R, groups * Q, L) where the fused kernel can't."""
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    scores = scores + bias
    if s_aux is None:
        return scores.softmax(-1)
    heads, rows, folded, _ = scores.shape
    # A sink is one more key per query head, whose weight goes nowhere.
    sinks = s_aux.view(heads, 1, -1, 1).to(scores.dtype)
    sinks = sinks.repeat_interleave(folded // sinks.shape[2], dim=2).expand(-1, rows, -1, -1)
    return torch.cat([scores, sinks], dim=-1).softmax(-1)[..., :-1]


AttentionInterface.register(ATTENTION, attend)
