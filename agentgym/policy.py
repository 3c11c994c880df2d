"""`Policy`: whoever answers observations, as an asynchronous service.

A rollout sends one `Request` per turn and many episodes send at once, so a policy batches as
requests arrive. Policies that have tokens get the whole prompt as ids and return the sampled ids
with their log-probabilities (tokens in, tokens out); policies that have none (an expert, a person,
a chat endpoint) read
`messages` and return text. `episode` says which requests belong together, so that a policy can keep
its KV cache from one turn to the next until `release`.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from agentgym.actions import ActionFormat
from agentgym.images import PlacedImage
from agentgym.message import Message
from agentgym.tool import ToolSpec

if TYPE_CHECKING:
    from agentgym.chat_template import ChatTemplate


class FinishReason(StrEnum):
    """Why sampling stopped."""

    STOP = "stop"
    """The end-of-turn token or a stop string was sampled."""
    LENGTH = "length"
    """`max_tokens`, or the context, ran out."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample.

    Attributes:
        temperature: Divides the logits; 0 is greedy.
        top_p: Nucleus mass; 1 samples from the whole vocabulary, which training wants.
        top_k: Candidates; 0 for all.
        max_tokens: Longest completion, in tokens.
        stop: Strings that end the completion; the ids up to the token that completes one are kept.
        seed: Seeds this request's sampling, so that it doesn't depend on what else is in the batch.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One turn to answer.

    Attributes:
        episode: Which episode asks; the same for all of its turns.
        messages: The conversation so far.
        prompt_ids: The whole prompt, shape (T,), int32; None where the policy has no template.
        sampling: How to sample.
        info: The environment's last `info`, for experts.
        tools: What may be called.
        action_format: How the environment has its actions written; None for a foreign one.
        task_id: What the episode is about; empty where the environment names no tasks.
        images: The images in `prompt_ids`, all of the episode's in order; empty where the policy's
            template shows none.
    """

    episode: str
    messages: Sequence[Message]
    prompt_ids: npt.NDArray[np.int32] | None
    sampling: Sampling
    info: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tools: Sequence[ToolSpec] = ()
    action_format: ActionFormat | None = None
    task_id: str = ""
    images: Sequence[PlacedImage] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer.

    Attributes:
        text: What the policy wrote, without special tokens, cut after a stop string.
        ids: The sampled ids, shape (n,), int32, stop token included; empty for a policy without
            tokens.
        logprobs: Their log-probabilities under the distribution they were sampled from, shape (n,),
            float32.
        finish: Why sampling stopped.
        policy_version: The weights that sampled it.
        exploratory: Whether it was answered to see what follows, and is not to be imitated.
    """

    text: str
    ids: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    logprobs: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    finish: FinishReason = FinishReason.STOP
    policy_version: int = 0
    exploratory: bool = False


class Policy(Protocol):
    """Whoever answers observations; one that is paid for may be `Metered` besides (`usage`)."""

    @property
    def template(self) -> "ChatTemplate | None":
        """How messages become ids; None for a policy without tokens."""
        ...

    @property
    def context_length(self) -> int | None:
        """Most ids that prompt and completion may have together; None for no limit."""
        ...

    @property
    def episodes_at_once(self) -> int | None:
        """Most episodes that it serves well at a time; None for any number."""
        ...

    @property
    def wants_expert(self) -> bool | str | None:
        """The environment's expert whose `expert_action` the policy reads.

        True for the environment's first expert; None for no expert.
        """
        ...

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests, in order.

        Raises:
            PolicyError: If it can't answer.
            InfraError: If what it runs on failed; the episode is retried.
        """
        ...

    def release(self, episode: str) -> None:
        """Forget an episode that ended; unknown ones are ignored."""
        ...

    async def close(self) -> None:
        """Release everything; may be called more than once."""
        ...


@runtime_checkable
class LearningPolicy(Policy, Protocol):
    """A policy whose weights a trainer changes while it serves.

    Trainers make it as `make(model, tokenizer, *, slots, max_length, threads, template_options,
    observation_role, force_append, image_processor, **options)`, whose parameters are those of
    `TransformersPolicy` by the same names, and close it when the run ends; what needs closing is
    best acquired by the first `generate`. It answers with the weights of `model` as they are when
    it is made and then at the end of every `updating()`: it shares them, or sends them to wherever
    it samples. It has a template, and its completions have ids and their log-probabilities.

    Attributes:
        policy_version: The weights' version, which every `Completion` says. A resumed run sets it.
    """

    policy_version: int

    def updating(self) -> AbstractContextManager[None]:
        """Return a context in which the weights may change, a checkpoint's included.

        Nothing is sampled within it. Its end counts the version up, unless it ends in an error.
        """
        ...

    def drop_prefixes(self) -> None:
        """Drop all keys and values, as where what comes next may not depend on what was before."""
        ...
