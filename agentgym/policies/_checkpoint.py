"""What a checkpoint says of itself, and the module that serves it.

A trainer and the policy share parameters, not modules: `serving_twin` has the same tensors in its
own mode and with attention of its own, and is refused at once where it would answer otherwise than
the model does.
"""

import copy
from typing import Any, cast

import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedModel

from agentgym.errors import DataError, UsageError
from agentgym.models.vision import auto_class, sees
from agentgym.policies._kv_slots import ATTENTION, KVSlots, make_plan
from agentgym.tokenizer import Tokenizer


def load_model(
    name: str,
    tokenizer: Tokenizer | None,
    device: str | torch.device | None,
    dtype: torch.dtype | None,
) -> tuple[PreTrainedModel, Tokenizer]:
    """Load a folder or an id, and its tokenizer unless there is one already.

    Raises:
        DataError: If it is no causal language model, with or without a vision tower.
    """
    try:
        model = cast(
            "PreTrainedModel",
            auto_class(name).from_pretrained(name, dtype="auto" if dtype is None else dtype),
        )
        tokenizer = tokenizer or cast("Tokenizer", AutoTokenizer.from_pretrained(name))
    except (OSError, ValueError) as fault:
        raise DataError(f"{name} is no Hugging Face model that can be loaded: {fault}") from fault
    if device is not None:
        model.to(device)  # pyright: ignore[reportArgumentType] (transformers narrows nn.Module.to)
    return model, tokenizer


def serving_twin(model: PreTrainedModel) -> PreTrainedModel:
    """Return a module with the same parameters and its own mode and attention.

    The trainer's module keeps its train mode, its attention and its gradient checkpointing.

    Raises:
        UsageError: If the architecture keeps another state than keys and values, or has attention
            of its own, which shows as answers that differ from its plain forward pass.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    twin = copy.deepcopy(model, cast("dict[int, Any]", shared)).eval()
    device = model.device
    ids_T = (torch.arange(1, 9) * 7919) % model.config.get_text_config().vocab_size
    name = type(model).__name__
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or [])
    if kinds - {"full_attention", "sliding_attention"}:
        raise UsageError(f"{name} has layers of kinds {sorted(kinds)}; serve it with vLLM instead.")
    with torch.inference_mode():
        expected_TV = twin(input_ids=ids_T[None].to(device), use_cache=False).logits[0].float()
        try:
            # The vision tower attends to single images, which are in no slot.
            twin.set_attn_implementation({"text_config": ATTENTION} if sees(twin) else ATTENTION)
            got_TV = _read_in_parts(twin, ids_T)
        except (TypeError, ValueError) as fault:
            raise UsageError(f"{name} can't attend through the slots: {fault}") from fault
    worst = (got_TV.log_softmax(-1) - expected_TV.log_softmax(-1)).abs().max().item()
    allowed = 1e-3 if model.dtype == torch.float32 else 0.3
    if not worst <= allowed:  # NaN fails as well
        raise UsageError(
            f"{name} answers differently with keys and values in slots (log-probabilities differ "
            f"by {worst:.3g}); serve it with vLLM instead."
        )
    return twin


def _read_in_parts(twin: PreTrainedModel, ids_T: torch.Tensor) -> torch.Tensor:
    """Return the logits (T, V) of one episode that is read in three forward passes."""
    kv = KVSlots(1, len(ids_T))
    tokens_1T = ids_T.numpy().astype(np.int32)[None]
    parts: list[torch.Tensor] = []
    for start, take in [(0, 5), (5, 1), (6, 2)]:
        slot, starts, takes = np.array([[0], [start], [take]])
        plan = make_plan(kv, tokens_1T, slot, starts, takes, twin.device)
        ids_1N, positions_1N = plan.ids_N[None], plan.positions_N[None]
        output = twin(input_ids=ids_1N, position_ids=positions_1N, use_cache=False, slot_plan=plan)
        parts.append(output.logits[0].float())
    return torch.cat(parts)


def longest_context(model: PreTrainedModel, tokenizer: Tokenizer) -> int | None:
    """Return the most ids that model and tokenizer both allow; None if neither says."""
    limits = [
        getattr(model.config.get_text_config(), "max_position_embeddings", None),
        getattr(tokenizer, "model_max_length", None),
    ]
    # Tokenizers without a limit say 1e30.
    return min((int(x) for x in limits if x is not None and x < 1e9), default=None)


def stop_ids_of(model: PreTrainedModel) -> frozenset[int]:
    """Return the ids that the generation config ends an answer at."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    if configured is None:
        return frozenset()
    return frozenset([configured] if isinstance(configured, int) else configured)
