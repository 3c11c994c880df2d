"""Small random models that see, of every kind in the Qwen-VL family, and images to show them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from agentgym.chat_template import ChatTemplate
from agentgym.env import Image
from agentgym.models.tiny import IMAGE, IMAGE_END, IMAGE_START, VIDEO, tiny_tokenizer

TOKENIZER = tiny_tokenizer(["You see a desk 1 and a mug 2. go to take"] * 30, vision=True)
PROCESSOR: Any = Qwen2VLImageProcessorPil(
    patch_size=16, merge_size=2, size={"shortest_edge": 32 * 32, "longest_edge": 256 * 256}
)
_ID = TOKENIZER.get_vocab()
_IDS = {
    "image_token_id": _ID[IMAGE],
    "video_token_id": _ID[VIDEO],
    "vision_start_token_id": _ID[IMAGE_START],
    "vision_end_token_id": _ID[IMAGE_END],
}
_TEXT: dict[str, Any] = {
    "vocab_size": len(TOKENIZER),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": TOKENIZER.eos_token_id,
    "pad_token_id": TOKENIZER.pad_token_id,
}
_ROPE: dict[str, Any] = {
    "rope_type": "default",
    "rope_theta": 10_000.0,
    "mrope_section": [2, 1, 1],
}


def _qwen2() -> Any:
    eyes = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2}
    return Qwen2VLForConditionalGeneration(
        Qwen2VLConfig(
            text_config={**_TEXT, "rope_parameters": _ROPE},
            vision_config={**eyes, "patch_size": 16},
            **_IDS,
        )
    )


def _qwen2_5() -> Any:
    eyes = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2}
    window = {"fullatt_block_indexes": [1], "window_size": 64, "out_hidden_size": 32}
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={**_TEXT, "rope_parameters": _ROPE},
            vision_config={**eyes, **window, "patch_size": 16},
            **_IDS,
        )
    )


def _qwen3() -> Any:
    return Qwen3VLForConditionalGeneration(Qwen3VLConfig(**_qwen3_parts()))


def _qwen3_moe() -> Any:
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    return Qwen3VLMoeForConditionalGeneration(Qwen3VLMoeConfig(**_qwen3_parts(**experts)))


def _qwen3_parts(**text: Any) -> dict[str, Any]:
    rope = {**_ROPE, "mrope_interleaved": True}
    eyes = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2}
    grid = {"num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    return {
        "text_config": {**_TEXT, "head_dim": 8, "rope_parameters": rope, **text},
        "vision_config": {**eyes, **grid, "patch_size": 16, "out_hidden_size": 32},
        **_IDS,
    }


MODELS: dict[str, Callable[[], Any]] = {
    "qwen2": _qwen2,
    "qwen2.5": _qwen2_5,
    "qwen3": _qwen3,
    "qwen3 moe": _qwen3_moe,
}


def tiny_model(name: str) -> Any:
    """Return a random model whose distributions are far from uniform, and depend on images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MODELS[name]()
        for weight in model.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.2)
    return model.eval()


def vision_template() -> ChatTemplate:
    """Return the template of these models."""
    return ChatTemplate(TOKENIZER, image_processor=PROCESSOR)


def screen(seed: int, height: int, width: int) -> Image:
    """Return a random image."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
