"""Log-probabilities and entropies of sampled tokens, without a (B, T, V) tensor.

The logits of a 32,000-token batch over 150,000 words are 19 GB in fp32, and the softmax needs them
several times. So the language-model head runs on the sampled positions only, in chunks, each
recomputed in the backward pass (`torch.utils.checkpoint`): at no time is more than one chunk of
logits alive. The softmax is in fp32 whatever the model computes in.

The hidden state at position p predicts token p + 1. Results stand at the token that they are about,
so `logprobs_BT[:, t]` comes from `hidden_BTH[:, t - 1]`, and nothing stands at t = 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Head = Callable[[Tensor], Tensor]
"""Maps hidden states (C, H) to logits (C, V)."""


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Figures of sampled tokens, fp32; 0 on every other token.

    Attributes:
        logprobs_BT: log pi(token | everything before it).
        entropy_BT: Entropy in nats of the distribution that the token was drawn from; None if not
            asked for.
    """

    logprobs_BT: Tensor
    entropy_BT: Tensor | None


def token_logprobs(
    hidden_BTH: Tensor,
    head: Head,
    input_ids_BT: Tensor,
    mask_BT: Tensor,
    *,
    temperature: float = 1.0,
    chunk_tokens: int = 1024,
    entropy: bool = False,
) -> TokenLogprobs:
    """Return the log-probabilities of the tokens where `mask_BT` is True.

    Args:
        hidden_BTH: The model's last hidden states.
        head: The language-model head.
        input_ids_BT: The tokens.
        mask_BT: bool; position 0 is never read, since nothing predicts it.
        temperature: The one that the tokens were sampled at; logits are divided by it.
        chunk_tokens: Positions per chunk: peak memory is about 4 * V * 4 bytes times this.
        entropy: Whether to compute the entropies too, with a gradient.
    """
    predicts_BT = mask_BT[:, 1:]
    hidden_MH = hidden_BTH[:, :-1][predicts_BT]
    ids_M = input_ids_BT[:, 1:][predicts_BT]
    pieces: list[Tensor] = []
    for hidden_CH, ids_C in zip(
        hidden_MH.split(chunk_tokens), ids_M.split(chunk_tokens), strict=True
    ):
        piece = checkpoint(
            _chunk,
            head,
            hidden_CH,
            ids_C,
            temperature,
            entropy,
            use_reentrant=False,
            preserve_rng_state=False,
        )
        pieces.append(cast(Tensor, piece))
    figures_RM = torch.cat(pieces, dim=1)
    rows = [_place(figures_M, predicts_BT) for figures_M in figures_RM]
    return TokenLogprobs(rows[0], rows[1] if entropy else None)


def _chunk(
    head: Head, hidden_CH: Tensor, ids_C: Tensor, temperature: float, entropy: bool
) -> Tensor:
    """Return log-probabilities, and entropies if asked for, stacked to (1 or 2, C)."""
    logits_CV = head(hidden_CH)
    logits_CV = logits_CV.to(torch.promote_types(logits_CV.dtype, torch.float32)) / temperature
    logprobs_CV = logits_CV.log_softmax(-1)
    picked_C = logprobs_CV.gather(-1, ids_C[:, None]).squeeze(-1)
    if not entropy:
        return picked_C[None]
    # A token of probability 0 adds nothing; 0 * -inf would be nan, and its gradient too.
    finite_CV = logprobs_CV.clamp(min=torch.finfo(logprobs_CV.dtype).min)
    return torch.stack([picked_C, -(logprobs_CV.exp() * finite_CV).sum(-1)])


def _place(figures_M: Tensor, predicts_BT: Tensor) -> Tensor:
    """Scatter figures back, one position later than the hidden state that they come from."""
    later_BT = torch.zeros(predicts_BT.shape, dtype=figures_M.dtype, device=figures_M.device)
    later_BT = later_BT.masked_scatter(predicts_BT, figures_M)
    return torch.nn.functional.pad(later_BT, (1, 0))
