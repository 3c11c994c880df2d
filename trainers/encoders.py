"""Encoders: what a critic makes of a state or an action, one vector for a whole text.

Texts come as the policy's ids. A state and an action are encoded apart, so that many actions may be
judged at a state that was read once. A text that is too long loses its beginning: what was said
last matters most.

| `EncoderConfig.kind` | what it is | trained |
|---|---|---|
| `tiny` | a small decoder with random weights, over the policy's ids | whole |
| `pretrained` | any Hugging Face model, from a folder or id, with its own tokenizer | whole |
| `policy` | the last hidden states of the policy as the run began with it | no: the heads alone |
"""

from abc import abstractmethod
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from itertools import pairwise
from typing import Any, Self, cast

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, Qwen3Config, Qwen3Model

from agentgym.config import Config
from agentgym.errors import DataError
from agentgym.trainers.attention import VARLEN, Attention, register_varlen
from agentgym.trainers.forward import split_head
from agentgym.trainers.models import LoadedModel, Reference, disable_dropout
from agentgym.trainers.packing import Packed
from agentgym.trajectory import Ids


class EncoderKind(StrEnum):
    """Where a critic's encoder comes from; see the module's table."""

    TINY = "tiny"
    PRETRAINED = "pretrained"
    POLICY = "policy"


class EncoderConfig(Config):
    """Which encoder."""

    kind: EncoderKind = EncoderKind.TINY
    path: str | None = Field(default=None, description="folder or id, for kind=pretrained")
    hidden: int = Field(default=64, ge=4, description="width, for kind=tiny")
    layers: int = Field(default=2, ge=1, description="depth, for kind=tiny")
    max_length: int = Field(default=512, ge=1, description="ids that are read, the last ones")

    @model_validator(mode="after")
    def _has_a_path(self) -> Self:
        if (self.kind is EncoderKind.PRETRAINED) != (self.path is not None):
            raise ValueError("encoder.path goes with encoder.kind=pretrained, and is needed there")
        return self


class Encoder(nn.Module):
    """Makes one vector of each text.

    Attributes:
        size: Length of the vectors.
    """

    size: int

    @abstractmethod
    def forward(self, texts: Sequence[Ids]) -> Tensor:
        """Return (N, size) float32 vectors of N texts in the policy's ids, none of them empty."""

    def together(self, *groups: Sequence[Ids]) -> list[Tensor]:
        """Return the vectors of each group: states, say, and the answers to them.

        They are read apart, or short answers would be padded to long states; what packs reads them
        in one pass.
        """
        return [self(group) for group in groups]

    @contextmanager
    def remembering(self) -> Generator[None]:
        """Keep, within the block, what was made of a text, where nothing changes the encoder."""
        yield


class _PackingEncoder(Encoder):
    """Reads texts of any lengths in one pass, without padding."""

    def together(self, *groups: Sequence[Ids]) -> list[Tensor]:
        """See `Encoder`."""
        vectors_NH = self([text for group in groups for text in group])
        return list(vectors_NH.split([len(group) for group in groups]))


class DecoderEncoder(_PackingEncoder):
    """The last hidden state of a causal decoder that reads the policy's ids, without padding.

    Args:
        decoder: A decoder without its head, whose attention takes packed rows.
        max_length: Ids that are read, the last ones.
    """

    def __init__(self, decoder: PreTrainedModel, max_length: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.size = int(decoder.config.get_text_config().hidden_size)
        self._max_length = max_length

    def forward(self, texts: Sequence[Ids]) -> Tensor:
        """See `Encoder`."""
        return _last_hidden(self.decoder, texts, self._max_length)


class PolicyEncoder(_PackingEncoder):
    """The last hidden state of the policy as it was when the run began.

    That policy knows what matters in its world; the one that learns on would move the features
    under the heads that read them.

    Args:
        reference: The frozen policy, which is no part of this module.
        max_length: Ids that are read, the last ones.
    """

    def __init__(self, reference: Reference, max_length: int) -> None:
        super().__init__()
        self._reference = reference
        # In a tuple, or it would be a submodule.
        self._decoder = (cast(PreTrainedModel, split_head(reference.model)[0]),)
        self._kept: dict[bytes, Tensor] | None = None
        self.size = int(reference.model.config.get_text_config().hidden_size)
        self._max_length = max_length

    @torch.no_grad()
    def forward(self, texts: Sequence[Ids]) -> Tensor:
        """See `Encoder`."""
        if self._kept is None:
            return self._read(texts)
        keys = [np.asarray(ids[-self._max_length :], np.int32).tobytes() for ids in texts]
        unread = {k: ids for k, ids in zip(keys, texts, strict=True) if k not in self._kept}
        if unread:
            self._kept.update(zip(unread, self._read(list(unread.values())), strict=True))
        return torch.stack([self._kept[key] for key in keys])

    @contextmanager
    def remembering(self) -> Generator[None]:
        """See `Encoder`."""
        self._kept = {}
        try:
            yield
        finally:
            self._kept = None

    def _read(self, texts: Sequence[Ids]) -> Tensor:
        with self._reference.active():
            return _last_hidden(self._decoder[0], texts, self._max_length)


class PretrainedEncoder(Encoder):
    """Any Hugging Face model: its pooler's output, or the last token's hidden state without one.

    Args:
        path: Folder or id.
        policy_tokenizer: Turns the policy's ids into the text that the model reads.
        max_length: Of its own ids that are read, the last ones.

    Raises:
        DataError: If there is no such model.
    """

    def __init__(self, path: str, policy_tokenizer: Any, max_length: int) -> None:
        super().__init__()
        try:
            # In full precision: a target copy that follows in small steps would stand still.
            self.model = cast(PreTrainedModel, AutoModel.from_pretrained(path, dtype=torch.float32))
            self._tokenizer: Any = AutoTokenizer.from_pretrained(path)
        except (OSError, ValueError) as fault:
            first_line = str(fault).strip().splitlines()[0]
            raise DataError(f"{path} is no encoder that can be loaded: {first_line}") from fault
        disable_dropout(self.model)
        self._tokenizer.truncation_side = "left"
        self._tokenizer.padding_side = "right"
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._policy_tokenizer = policy_tokenizer
        self.size = int(self.model.config.get_text_config().hidden_size)
        self._max_length = max_length

    def forward(self, texts: Sequence[Ids]) -> Tensor:
        """See `Encoder`."""
        read = self._tokenizer(
            [self._policy_tokenizer.decode(ids.tolist()) for ids in texts],
            truncation=True,
            max_length=self._max_length,
            padding=True,
            return_tensors="pt",
        ).to(self.model.device)
        output = self.model(**read)
        pooled = getattr(output, "pooler_output", None)
        if pooled is None:
            last_N = read["attention_mask"].sum(1) - 1
            pooled = output.last_hidden_state[torch.arange(len(last_N)), last_N]
        return pooled.float()


def make_encoder(config: EncoderConfig, policy: LoadedModel, *, seed: int = 0) -> Encoder:
    """Return an encoder of what a policy reads and writes, on the policy's device.

    Args:
        config: Which.
        policy: The model that acts, with its tokenizer.
        seed: Seeds random weights; the caller's generator is left alone.

    Raises:
        DataError: If `path` holds no model.
    """
    if config.kind is EncoderKind.POLICY:
        return PolicyEncoder(policy.reference(), config.max_length)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # a pretrained model may lack a pooler, which is then random
        if config.kind is EncoderKind.PRETRAINED:
            assert config.path is not None  # the configuration checks it
            encoder = PretrainedEncoder(config.path, policy.tokenizer, config.max_length)
        else:
            vocabulary = int(policy.model.config.get_text_config().vocab_size)
            encoder = DecoderEncoder(_tiny_decoder(config, vocabulary), config.max_length)
    return encoder.to(policy.device).eval()


def _tiny_decoder(config: EncoderConfig, vocabulary: int) -> PreTrainedModel:
    register_varlen()
    heads = 2
    shape = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=config.hidden,
        intermediate_size=2 * config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=max(config.hidden // heads // 2 * 2, 2),  # rotary embeddings turn pairs
        max_position_embeddings=config.max_length,
    )
    decoder = Qwen3Model(shape)
    decoder.set_attn_implementation(VARLEN)
    return decoder


def _last_hidden(decoder: PreTrainedModel, texts: Sequence[Ids], max_length: int) -> Tensor:
    """Return the hidden state of each text's last id, (N, H) float32.

    A text that begins another one is read with it, since a causal decoder has seen no more at its
    end: the states of one episode cost what the longest of them costs.
    """
    device = next(decoder.parameters()).device
    kept = [np.asarray(ids[-max_length:], np.int32) for ids in texts]
    reader_N = _readers([ids.tobytes() for ids in kept])
    read, row_N = np.unique(reader_N, return_inverse=True)
    ids_RT = nn.utils.rnn.pad_sequence(
        [torch.as_tensor(kept[r], dtype=torch.int64) for r in read], batch_first=True
    ).to(device)
    lengths_R = torch.tensor([len(kept[r]) for r in read], device=device)
    packed = Packed.pack(ids_RT, lengths_R)
    hidden_1PH = decoder(**packed.model_inputs(Attention.of(decoder))).last_hidden_state
    starts_R = lengths_R.cumsum(0) - lengths_R
    ends_N = torch.tensor([len(ids) - 1 for ids in kept], device=device)
    return hidden_1PH[0, starts_R[torch.as_tensor(row_N, device=device)] + ends_N].float()


def _readers(texts: Sequence[bytes]) -> list[int]:
    """Return for each text the index of one that begins with it; where it can, a longer one."""
    order = sorted(range(len(texts)), key=texts.__getitem__)
    readers = list(range(len(texts)))
    # What begins with a text follows it directly in this order.
    for this, following in reversed(list(pairwise(order))):
        if texts[following].startswith(texts[this]):
            readers[this] = readers[following]
    return readers
