"""A language model of about a million parameters, for one environment's text.

It stands in for a checkpoint where none can be had: Qwen3's architecture with random weights, and a
tokenizer in which every word that the environment writes is one token, and so is every phrase that
it writes again and again (`phrases.py`), since on a CPU an episode costs what its tokens cost. What
it has not seen falls back to shorter pieces and at last to bytes, so every text is representable.
Saved, it is an ordinary Hugging Face folder; any other folder goes in its place.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from agentgym.errors import UsageError
from agentgym.models.phrases import fixed_phrases, word_counts

SYSTEM, USER, ASSISTANT, END, PAD = "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"

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
        seed: Seeds the weights.

    Raises:
        UsageError: If there is no text, or the sizes don't fit each other.
    """
    if hidden % heads or heads % kv_heads or (hidden // heads) % 2:
        raise UsageError(
            f"hidden={hidden} must split evenly over heads={heads} into even parts, "
            f"and heads over kv_heads={kv_heads}."
        )
    corpus = list(texts)
    tokenizer = tiny_tokenizer(corpus, vocab=vocab, context=context, digits=digits)
    vocabulary = tokenizer.get_vocab()
    end, pad = vocabulary[END], vocabulary[PAD]
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=hidden // heads,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=pad)
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    lengths = [len(tokenizer.encode(text, add_special_tokens=False)) for text in corpus]
    return TinyModel(
        folder=path,
        parameters=sum(weight.numel() for weight in model.parameters()),
        vocabulary=len(tokenizer),
        tokens_per_text=sum(lengths) / len(lengths),
    )


def tiny_tokenizer(
    texts: Iterable[str], *, vocab: int = 4096, context: int = 4096, digits: bool = False
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
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
