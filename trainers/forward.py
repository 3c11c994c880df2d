"""`batch_logprobs`: the log-probabilities of a batch's sampled tokens, in one packed pass.

The batch is packed into one row, the decoder gives hidden states, the head runs on sampled
positions in chunks, and the figures go back to the batch's shape. Nothing is computed on padding,
and no logits of prompts or observations.
"""

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from transformers import PreTrainedModel

from agentgym.errors import ConfigError
from agentgym.trainers.attention import Attention
from agentgym.trainers.batch import TokenBatch
from agentgym.trainers.logprobs import Head, TokenLogprobs, token_logprobs
from agentgym.trainers.packing import Packed


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """What one forward pass gives.

    Attributes:
        tokens: Log-probabilities and entropies of the sampled tokens, (B, T).
        hidden_1PH: The last hidden states in packed order, for a value head.
        packed: The packed row, which unpacks what a value head makes of them.
    """

    tokens: TokenLogprobs
    hidden_1PH: Tensor
    packed: Packed


def split_head(model: PreTrainedModel) -> tuple[nn.Module, Head]:
    """Return the decoder and the language-model head of a causal model.

    Raises:
        ConfigError: If the model does more to its logits than the head does (soft caps, scales), so
            that the head alone would give other log-probabilities.
    """
    config = model.config.get_text_config()
    for key in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
        if getattr(config, key, None) not in (None, 1, 1.0):
            raise ConfigError(
                f"{type(model).__name__} changes its logits after the head ({key}="
                f"{getattr(config, key)}), which chunked log-probabilities would miss; "
                "use a model without it."
            )
    head = model.get_output_embeddings()
    if head is None:
        raise ConfigError(
            f"{type(model).__name__} has no language-model head; load a causal model."
        )
    return cast(nn.Module, model.get_decoder()), head


def batch_logprobs(
    model: PreTrainedModel,
    batch: TokenBatch,
    *,
    temperature: float = 1.0,
    chunk_tokens: int = 1024,
    entropy: bool = False,
) -> ForwardPass:
    """Return the log-probabilities of the batch's sampled tokens.

    Args:
        model: A causal language model of transformers.
        batch: The sequences, on the model's device; a micro-batch.
        temperature: The one that the tokens were sampled at.
        chunk_tokens: Sampled positions per chunk of logits.
        entropy: Whether to compute the entropies too.
    """
    decoder, head = split_head(model)
    packed = Packed.pack(batch.input_ids_BT, batch.lengths_B)
    hidden_1PH = decoder(**packed.model_inputs(Attention.of(model))).last_hidden_state
    # Where a sequence starts, its predecessor in the row would predict it; no first token is
    # sampled.
    tokens = token_logprobs(
        hidden_1PH,
        head,
        packed.input_ids_1P,
        packed.gather(batch.mask_BT),
        temperature=temperature,
        chunk_tokens=chunk_tokens,
        entropy=entropy,
    )
    entropy_BT = None if tokens.entropy_BT is None else packed.unpack(tokens.entropy_BT)
    return ForwardPass(
        TokenLogprobs(packed.unpack(tokens.logprobs_BT), entropy_BT), hidden_1PH, packed
    )
