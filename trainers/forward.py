"""`batch_logprobs`: the log-probabilities of a batch's sampled tokens, in one packed pass.

The batch is packed into one row, the decoder gives hidden states, the head runs on sampled
positions in chunks, and the figures go back to the batch's shape. Nothing is computed on padding,
and no logits of prompts or observations.

A model that sees reads the images of the batch's observations too: what its vision tower makes of
them, with a gradient, stands in the place of their placeholders.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from agentgym.errors import ConfigError, UsageError
from agentgym.images import ImageProcessor, patches_of, place, rope_positions
from agentgym.models.vision import decoder_inputs, image_features, sees
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
    image_processor: ImageProcessor | None = None,
) -> ForwardPass:
    """Return the log-probabilities of the batch's sampled tokens.

    Args:
        model: A causal language model of transformers.
        batch: The sequences, on the model's device; a micro-batch.
        temperature: The one that the tokens were sampled at.
        chunk_tokens: Sampled positions per chunk of logits.
        entropy: Whether to compute the entropies too.
        image_processor: Of a model that sees, which the batch's images are read by; a model that
            doesn't leaves them out.

    Raises:
        DataError: If a sequence's images are not those that its placeholders stand for.
        UsageError: If the model sees and there is no image processor.
    """
    decoder, head = split_head(model)
    packed = Packed.pack(batch.input_ids_BT, batch.lengths_B)
    inputs = packed.model_inputs(Attention.of(model))
    if sees(model):
        if image_processor is None:
            raise UsageError(f"{type(model).__name__} sees; pass its image processor too.")
        inputs = _with_images(inputs, model, batch, packed, image_processor)
    hidden_1PH = decoder(**inputs).last_hidden_state
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


def _with_images(
    inputs: dict[str, Any],
    model: PreTrainedModel,
    batch: TokenBatch,
    packed: Packed,
    processor: ImageProcessor,
) -> dict[str, Any]:
    """Return the decoder's inputs with embeddings and positions in the place of ids."""
    # A placeholder that the policy sampled is an id like any other.
    at_BT = (batch.input_ids_BT == model.config.image_token_id) & (batch.version_BT < 0)
    at_1P = packed.gather(at_BT)
    images = [image for row in batch.images_B for image in row]
    patches = patches_of(processor, images) if images else None
    grids_N3 = np.zeros((0, 3), np.int64) if patches is None else patches.grids_N3
    positions_3P: list[np.ndarray[Any, Any]] = []
    first = 0
    standing_BT = at_BT.cpu().numpy()
    for b, length in enumerate(packed.lengths):
        row = batch.images_B[b] if batch.images_B else ()
        placed = place(np.flatnonzero(standing_BT[b, :length]), row, processor)
        grids = grids_N3[first : first + len(row)]
        positions_3P.append(rope_positions(length, placed, grids, processor.merge_size))
        first += len(row)
    positions_31P = torch.from_numpy(np.concatenate(positions_3P, axis=1))[:, None]
    features = None if patches is None else image_features(model, patches)
    del inputs["input_ids"]
    return (
        inputs
        | decoder_inputs(model, packed.input_ids_1P, at_1P, features)
        | {"position_ids": positions_31P.to(at_1P.device)}
    )
