"""The models that `gpu_update.py` measures: their sizes, and the precision that each is held in."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from transformers import AutoModelForCausalLM, Qwen3Config


class Precision(StrEnum):
    """What weights, gradients and AdamW's states are held in, alike on both sides."""

    MIXED = "mixed"
    """AdamW steps fp32 weights by fp32 gradients. Ours are masters behind the model's bfloat16
    weights: 18 bytes a weight (2 and 4, 4 of gradient, 8 of AdamW's states), as `agentgym train`
    has it by default. TRL's are the model's own, under bfloat16 autocast: 16 bytes, its default.
    """
    HALF = "half"
    """All in bfloat16, 8 bytes a weight, as with `optimizer.master_weights=false`."""
    FULL = "full"
    """All in fp32, 16 bytes a weight."""

    @property
    def computed(self) -> torch.dtype:
        """What matrices are multiplied in."""
        return torch.float32 if self is Precision.FULL else torch.bfloat16

    @property
    def stated(self) -> str:
        """What the table is headed with."""
        return {
            Precision.MIXED: "bfloat16 with fp32 weights to step (TRL: fp32 under autocast)",
            Precision.HALF: "all bfloat16, no master weights on either side",
            Precision.FULL: "all float32",
        }[self]


@dataclass(frozen=True, slots=True)
class Shape:
    """A Qwen3 model's sizes, and how it is measured.

    Attributes:
        vocabulary: V.
        hidden: H.
        intermediate: Width of the gated feed-forward layer.
        layers: Depth.
        heads: Of queries.
        kv_heads: Of keys and values.
        head_dim: Width of a head.
        tied: Whether the head is the embedding.
        precision: The best that leaves room for activations on a card of 139 GiB.
        groups: Tasks of the batch.
        context: Most tokens of an episode.
    """

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    tied: bool
    precision: Precision = Precision.MIXED
    groups: int = 8
    context: int = 8192

    def config(self) -> Qwen3Config:
        """Return what transformers builds it from."""
        return Qwen3Config(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            intermediate_size=self.intermediate,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            head_dim=self.head_dim,
            tie_word_embeddings=self.tied,
            max_position_embeddings=self.context,
        )

    def parameters(self) -> int:
        """Return the number of weights."""
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(self.config()).num_parameters()

    def useful_flops(self, lengths: Sequence[int], sampled: int) -> float:
        """Return the floating-point operations that an update needs; the module has the formula."""
        projections = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        body = self.layers * (projections + 3 * self.hidden * self.intermediate)
        head = self.hidden * self.vocabulary
        attention = self.layers * self.heads * self.head_dim * sum(n * n for n in lengths)
        return 6.0 * (body * sum(lengths) + head * sampled + attention)


SHAPES = {
    "tiny": Shape(512, 64, 192, 2, 4, 2, 16, tied=True, groups=2, context=256),
    "1.7b": Shape(151_936, 2048, 6144, 28, 16, 8, 128, tied=True),
    "8b": Shape(151_936, 4096, 12_288, 36, 32, 8, 128, tied=False, precision=Precision.HALF),
}
