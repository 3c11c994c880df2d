"""Attention over packed rows: what a model is told, and a kernel of our own.

| `Attention` | model's attn_implementation | how a sequence's end is known |
|---|---|---|
| `FLASH` | flash_attention_2, _3, _4 | `cu_seq_lens_*`, `max_length_*`, passed through |
| `VARLEN` | agentgym_varlen (this file) | the same |
| `MASK` | sdpa | a block-diagonal causal mask, P^2 large |

Flash attention could also infer the ends from restarting position ids; transformers then looks for
them in every layer, at a device synchronisation each, so they are passed.

`agentgym_varlen` runs torch's kernel for packed rows on GPUs in half precision, where torch has one
(from 2.11 on), and causal `scaled_dot_product_attention` elsewhere: one call for a long sequence,
one for short ones of about equal length together. On a CPU that is what makes packing cheap: the
work is about the sum of squared lengths, not the square of their sum, and a hundred short texts
don't cost a hundred calls. Without sequence ends (generation, padded batches) it is `sdpa`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from inspect import signature
from itertools import accumulate
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from agentgym.errors import ConfigError

VARLEN = "agentgym_varlen"
"""Pass it as `attn_implementation` or to `set_attn_implementation`, after `register_varlen`."""


class Attention(StrEnum):
    """How a model's attention learns where packed sequences end; see the table above."""

    FLASH = "flash"
    VARLEN = "varlen"
    MASK = "mask"

    @classmethod
    def of(cls, model: PreTrainedModel) -> "Attention":
        """Return the kind that `model` needs.

        Raises:
            ConfigError: If its implementation can't take packed rows.
        """
        # transformers has no public way to read it back.
        config = model.config.get_text_config()
        name = str(config._attn_implementation)  # pyright: ignore[reportPrivateUsage]
        if name.startswith("flash_attention"):
            return cls.FLASH
        if name == VARLEN:
            return cls.VARLEN
        if name == "sdpa":
            return cls.MASK
        raise ConfigError(
            f"Packed rows are not supported with attn_implementation={name!r}; "
            f"use {VARLEN}, flash_attention_2 or sdpa."
        )


def register_varlen() -> None:
    """Make `agentgym_varlen` known to transformers. Idempotent."""
    AttentionInterface.register(VARLEN, varlen_attention)
    AttentionMaskInterface.register(VARLEN, sdpa_mask)


def varlen_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Return causal attention within each packed sequence; transformers' attention signature.

    Args:
        module: The attention layer.
        query: (B, heads, T, D); B is 1 for packed rows.
        key: (B, key-value heads, T, D).
        value: Like `key`.
        attention_mask: Ignored for packed rows.
        dropout: Attention dropout.
        scaling: Factor on the scores; None: 1 / sqrt(D).
        sliding_window: How many positions a query sees, itself included; None: all before it.
        cu_seq_lens_q: int32, where each packed sequence starts, and the end; None: rows are not
            packed.
        max_length_q: The longest packed sequence.
        **kwargs: Passed on to `sdpa` where rows are not packed.

    Returns:
        (B, T, heads, D), and None for the weights.
    """
    if cu_seq_lens_q is None or max_length_q is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    half = query.dtype in (torch.float16, torch.bfloat16)
    if query.is_cuda and half and dropout == 0 and (kernel := varlen_kernel()) is not None:
        if not _groups_heads(kernel):
            key, value = _one_head_per_query(key, value, query)
        grouped = {"enable_gqa": True} if key.shape[1] < query.shape[1] else {}
        query_PHD, key_PHD, value_PHD = (x.squeeze(0).transpose(0, 1) for x in (query, key, value))
        output = kernel(
            query_PHD,
            key_PHD,
            value_PHD,
            cu_seq_lens_q,
            cu_seq_lens_q,
            max_length_q,
            max_length_q,
            scale=scaling,
            window_size=(-1 if sliding_window is None else sliding_window - 1, 0),
            **grouped,
        )
        return output[None], None
    key, value = _one_head_per_query(key, value, query)
    lengths = tuple(cu_seq_lens_q.diff().tolist())
    # As the projections laid them out, where a token's heads lie together.
    packed = tuple(x.squeeze(0).transpose(0, 1) for x in (query, key, value))
    shared = _SHARED // packed[0][0].numel()
    groups, back_P = _plan(lengths, shared, query.device)
    pieces: list[Tensor] = []
    for group in groups:
        q, k, v = (group.gathered(x_PHD) for x_PHD in packed)
        padded_NHLD = scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=_band(group.longest, sliding_window, q.device),
            dropout_p=dropout,
            is_causal=sliding_window is None or group.longest <= sliding_window,
            scale=scaling,
        )
        pieces.append(padded_NHLD.transpose(1, 2).flatten(0, 1))
    output_PHD = torch.cat(pieces)
    return (output_PHD if back_P is None else output_PHD.index_select(0, back_P))[None], None


_SHARED = 4096
"""Numbers in the longest sequence that shares a call, heads * width * ids.

64 ids of two heads of 32, 8 ids of eight heads of 64: beyond, copying costs about what a call does.
"""


@dataclass(frozen=True, slots=True)
class _Group:
    """Sequences of a packed row that share a call, each padded to the longest one.

    Causal attention lets no token see what follows, so padding behind a sequence changes nothing
    in it.

    Attributes:
        count: How many.
        longest: Their longest length, L.
        start: Where the first one begins.
        places: The row's indices of their tokens, one sequence after another, (count * L,), where
            a sequence's last token stands for padding; None for a single sequence.
    """

    count: int
    longest: int
    start: int
    places: Tensor | None

    def gathered(self, packed_PHD: Tensor) -> Tensor:
        """Return the sequences, (count, H, L, D)."""
        if self.places is None:
            found = packed_PHD.narrow(0, self.start, self.longest)
        else:
            found = packed_PHD.index_select(0, self.places)
        return found.unflatten(0, (self.count, self.longest)).transpose(1, 2)


@lru_cache(maxsize=32)  # every layer of a forward pass asks for the same one
def _plan(
    lengths: tuple[int, ...], shared: int, device: torch.device
) -> tuple[tuple[_Group, ...], Tensor | None]:
    """Return the calls that a packed row takes, and where in their output its tokens are.

    Args:
        lengths: Of the sequences; those of length 0 are nowhere.
        shared: The longest sequence that shares a call.
        device: Where the row is.

    Returns:
        The groups, and an index (P,) into their padded outputs in a row; None where these are the
        row already.
    """
    starts = [0, *accumulate(lengths)]
    members: list[list[int]] = []
    for i in sorted((i for i, length in enumerate(lengths) if length), key=lengths.__getitem__):
        shortest = lengths[members[-1][0]] if members else 0
        # Padding is work: a longer sequence is at most a quarter longer, or 8 ids.
        if members and lengths[i] <= min(shortest + max(shortest // 4, 8), shared):
            members[-1].append(i)
        else:
            members.append([i])
    alone = all(len(group) == 1 for group in members)
    if alone:
        members.sort()  # as they lie
    groups: list[_Group] = []
    done = 0
    # Tensors that were made in inference mode could not be used in training later.
    with torch.inference_mode(False):
        back = torch.empty(starts[-1], dtype=torch.int64)
        for group in members:
            longest = max(lengths[i] for i in group)
            places: list[Tensor] = []
            for row, i in enumerate(group):
                inside_L = torch.arange(longest).clamp(max=lengths[i] - 1)
                places.append(starts[i] + inside_L)
                first = done + row * longest
                back[starts[i] : starts[i + 1]] = torch.arange(first, first + lengths[i])
            done += len(group) * longest
            together = torch.cat(places).to(device) if len(group) > 1 else None
            groups.append(_Group(len(group), longest, starts[group[0]], together))
        return tuple(groups), None if alone else back.to(device)


@cache
def varlen_kernel() -> Callable[..., Tensor] | None:
    """Return torch's kernel for packed rows, or None where it is missing or knows no windows."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:  # torch before 2.10
        return None
    # A tensor and no tuple, as long as no auxiliary outputs are asked for.
    kernel = cast("Callable[..., Tensor]", varlen_attn)
    return kernel if "window_size" in signature(kernel).parameters else None


@cache
def _groups_heads(kernel: Callable[..., Tensor]) -> bool:
    """Whether the kernel takes fewer heads of keys than of queries; that of torch 2.11 doesn't."""
    return "enable_gqa" in signature(kernel).parameters


def _one_head_per_query(key: Tensor, value: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """Return keys and values with as many heads as queries have."""
    groups = query.shape[1] // key.shape[1]
    return key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)


def _band(length: int, window: int | None, device: torch.device) -> Tensor | None:
    """Return the causal mask of a sliding window, or None where the window holds everything."""
    if window is None or length <= window:
        return None
    return torch.ones(length, length, dtype=torch.bool, device=device).tril().triu(1 - window)
