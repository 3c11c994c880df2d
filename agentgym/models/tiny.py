"""A language model of about a million parameters, for one environment's text.

It stands in for a checkpoint where none can be had: Qwen3's architecture with random weights, and a
tokenizer in which every word that the environment writes is one token, and so is every phrase that
it writes again and again (`phrases.py`), since on a CPU an episode costs what its tokens cost. What
it has not seen falls back to shorter pieces and at last to bytes, so every text is representable.
Saved, it is an ordinary Hugging Face folder; any other folder goes in its place.

With eyes it has Qwen3-VL's architecture. A cell of an image is 32 pixels wide and high, as there,
so a screenshot of 160 x 160 pixels is 25 tokens.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from agentgym.errors import UsageError
from agentgym.models.phrases import fixed_phrases, word_counts

SYSTEM, USER, ASSISTANT, END, PAD = "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
# Qwen-VL's names, which its processors look for.
IMAGE, VIDEO = "<|image_pad|>", "<|video_pad|>"
IMAGE_START, IMAGE_END = "<|vision_start|>", "<|vision_end|>"

# The end of an answer is the start of the next observation as well: two control tokens a turn.
CHAT_TEMPLATE = """
{%- for message in messages -%}
{%- if message.role == 'system' -%}<|system|>{{ message.content }}
{%- elif message.role == 'assistant' -%}<|assistant|>{{ message.content }}<|end|>
{%- else -%}
{%- if loop.first or loop.previtem.role != 'assistant' -%}<|user|>{%- endif -%}
{{- message.content -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}
"""

# Messages with an image are lists of parts.
VISION_CHAT_TEMPLATE = CHAT_TEMPLATE.replace(
    "{{- message.content -}}",
    """
{%- if message.content is string -%}{{- message.content -}}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- else -%}{{- part.text -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}""",
)

PATCH, MERGE = 16, 2
"""Pixels along a patch's side, and patches along a cell's."""
_POSITIONS = 16  # along a side of the grid of learned positions, which fits any image by stretching
_PIXELS = (PATCH * MERGE) ** 2, 512**2  # smaller images are enlarged, and larger ones reduced

_DIGIT = re.compile("[0-9]")


@dataclass(frozen=True, slots=True)
class TinyModel:
    """What was built.

    Attributes:
        folder: Where it lies.
        parameters: How many weights it has.
        vocabulary: How many tokens it knows.
        tokens_per_text: Mean length of the given texts, in tokens.
    """

    folder: Path
    parameters: int
    vocabulary: int
    tokens_per_text: float


def build_tiny(
    folder: str | Path,
    texts: Iterable[str],
    *,
    hidden: int = 128,
    layers: int = 4,
    heads: int = 4,
    kv_heads: int = 2,
    vocab: int = 4096,
    context: int = 4096,
    digits: bool = False,
    vision: bool = False,
    seed: int = 0,
) -> TinyModel:
    """Build a model with random weights and a tokenizer for these texts, and save both.

    Args:
        folder: Where to; made if missing.
        texts: What the environment and its experts write; observations and actions alike.
        hidden: Width; a multiple of `heads`.
        layers: Depth.
        heads: Attention heads.
        kv_heads: Key and value heads; divides `heads`.
        vocab: Most tokens that the tokenizer may have.
        context: Longest sequence, in tokens.
        digits: See `tiny_tokenizer`.
        vision: Whether it sees images.
        seed: Seeds the weights.

    Raises:
        UsageError: If there is no text, or the sizes don't fit each other.
    """
    if hidden % heads or heads % kv_heads or (hidden // heads) % 2:
        raise UsageError(
            f"hidden={hidden} must split evenly over heads={heads} into even parts, "
            f"and heads over kv_heads={kv_heads}."
        )
    if vision and (hidden // heads) % 4:
        raise UsageError(f"hidden={hidden} over heads={heads} must be a multiple of 4 to see.")
    corpus = list(texts)
    tokenizer = tiny_tokenizer(corpus, vocab=vocab, context=context, digits=digits, vision=vision)
    vocabulary = tokenizer.get_vocab()
    end, pad = vocabulary[END], vocabulary[PAD]
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": hidden,
        "intermediate_size": 3 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": hidden // heads,
        "max_position_embeddings": context,
        "bos_token_id": None,
        "eos_token_id": end,
        "pad_token_id": pad,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if vision:
            model = _with_eyes(shape, vocabulary)
        else:
            model = Qwen3ForCausalLM(Qwen3Config(**shape, tie_word_embeddings=True))
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=pad)
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    if vision:
        (path / "preprocessor_config.json").write_text(json.dumps(_IMAGE_PROCESSOR, indent=2))
    lengths = [len(tokenizer.encode(text, add_special_tokens=False)) for text in corpus]
    return TinyModel(
        folder=path,
        parameters=sum(weight.numel() for weight in model.parameters()),
        vocabulary=len(tokenizer),
        tokens_per_text=sum(lengths) / len(lengths),
    )


def _with_eyes(shape: dict[str, Any], vocabulary: dict[str, int]) -> PreTrainedModel:
    """Return a model with this language model behind a vision tower of two layers."""
    hidden, heads = shape["hidden_size"], shape["num_attention_heads"]
    half = shape["head_dim"] // 2
    rope = {
        "rope_type": "default",
        "rope_theta": 10_000.0,
        # How many of the frequencies turn with time, row and column.
        "mrope_section": [half - 2 * (half // 3), half // 3, half // 3],
        "mrope_interleaved": True,
    }
    eyes = {
        "depth": 2,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_heads": heads,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "out_hidden_size": hidden,
        "num_position_embeddings": _POSITIONS**2,
        "deepstack_visual_indexes": [0],
    }
    config = Qwen3VLConfig(
        text_config={**shape, "rope_parameters": rope},
        vision_config=eyes,
        image_token_id=vocabulary[IMAGE],
        video_token_id=vocabulary[VIDEO],
        vision_start_token_id=vocabulary[IMAGE_START],
        vision_end_token_id=vocabulary[IMAGE_END],
        tie_word_embeddings=True,
    )
    model = Qwen3VLForConditionalGeneration(config)
    # Drawn as for a model a hundred times as wide, what such a narrow tower makes of an image is
    # next to nothing beside the text, and the model takes long to notice that it sees.
    for weight in model.model.visual.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
    return model


_IMAGE_PROCESSOR = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen3VLProcessor",
    "patch_size": PATCH,
    "temporal_patch_size": 2,
    "merge_size": MERGE,
    "size": {"shortest_edge": _PIXELS[0], "longest_edge": _PIXELS[1]},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def tiny_tokenizer(
    texts: Iterable[str],
    *,
    vocab: int = 4096,
    context: int = 4096,
    digits: bool = False,
    vision: bool = False,
) -> PreTrainedTokenizerFast:
    """Return a tokenizer with a token per word or fixed phrase, and a compact chat template.

    A unigram model over bytes: its pieces are the words, the fixed phrases and the 256 bytes and
    nothing between them, whereas BPE would spend most of a small vocabulary on the steps that lead
    to a word.

    Args:
        texts: Where the words come from.
        vocab: Most tokens; the most frequent words and phrases are kept.
        context: Longest sequence that the model takes.
        digits: Whether each digit is a token of its own. A number is one token otherwise, which is
            short, and can't be copied by a model that hasn't met it.
        vision: Whether it has Qwen-VL's control tokens, and its template shows images.

    Raises:
        UsageError: If there are no words, or `vocab` has no room for any.
    """
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    corpus = Counter(tuple(w for w, _ in split.pre_tokenize_str(text)) for text in texts)
    counts = word_counts(corpus) + Counter(fixed_phrases(corpus))
    if digits:
        counts = Counter({word: n for word, n in counts.items() if not _DIGIT.search(word)})
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    control = [PAD, SYSTEM, USER, ASSISTANT, END]
    seen = [IMAGE_START, IMAGE, IMAGE_END, VIDEO] if vision else []
    control += seen
    room = vocab - len(alphabet) - len(control)
    if not counts or room < 1:
        raise UsageError(
            f"A tokenizer needs texts to learn from and vocab > {vocab - room}; "
            f"got {len(counts)} words and vocab={vocab}."
        )
    for byte in alphabet:
        del counts[byte]
    kept = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:room]
    total = sum(counts.values()) + 1
    # A byte is dearer than any word, so that a text is cut into as few pieces as can be.
    dearest = 2 * math.log(total) + 10
    pieces = [(token, 0.0) for token in control]
    pieces += [(byte, -dearest) for byte in alphabet]
    pieces += [(piece, math.log(count / total)) for piece, count in kept]
    core = Tokenizer(models.Unigram(pieces))
    # Not cut into words beforehand: a phrase is several.
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT, *seen],
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = VISION_CHAT_TEMPLATE if vision else CHAT_TEMPLATE
    return tokenizer
