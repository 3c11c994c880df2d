"""`Trajectory` and `Turn`: what an episode was, in the tokens that were really sampled.

A turn keeps only what it added: the ids appended to the prompt since the previous completion, and
the ids the policy sampled with their log-probabilities. The training sequence is their
concatenation, never a re-tokenised text. Where the chat template is not append-only a turn starts a
sequence of its own (`starts_sequence`), and its prompt is whole. Rewards live on turns, never on
token positions.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from agentgym.env import Image
from agentgym.policy import FinishReason
from agentgym.stop_reason import StopReason
from agentgym.tool import ToolCall

Ids = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


def no_ids() -> Ids:
    """Return an empty id array."""
    return np.zeros(0, np.int32)


def no_floats() -> Floats:
    """Return an empty float array."""
    return np.zeros(0, np.float32)


@dataclass(slots=True, eq=False)  # arrays have no truth value, and a turn is itself
class Turn:
    """One turn: an observation, what the policy answered, what that earned.

    Attributes:
        observation: The text that the policy answered.
        action: What the policy wrote, as text.
        reward: What the turn earned.
        image: (H, W, 3) uint8 that came with the observation.
        prompt_ids: Ids appended before the completion (mask 0): everything since the previous
            completion, or the whole prompt where `starts_sequence`. Empty for a policy without
            tokens.
        completion_ids: The sampled ids, stop token included (mask 1).
        logprobs: Their log-probabilities under the sampling distribution; same length.
        starts_sequence: Whether the turn begins a training sequence; the first always does.
        finish: Why sampling stopped.
        policy_version: The weights that sampled it.
        exploratory: Whether the action was taken to see what follows, and is not to be imitated.
        calls: The tool calls read from the action.
        action_error: What was wrong with the action, in the model's terms.
        generate_seconds: Latency of the policy, queueing included.
        step_seconds: Latency of the environment's step.
        value: A critic's estimate at the turn's start, where a trainer wrote one.
        advantage: The turn's advantage, where a trainer wrote one.
        arrays: Per-token figures that trainers add (entropy, reference log-probs), each as long as
            `completion_ids`.
    """

    observation: str
    action: str
    reward: float = 0.0
    image: Image | None = None
    prompt_ids: Ids = field(default_factory=no_ids)
    completion_ids: Ids = field(default_factory=no_ids)
    logprobs: Floats = field(default_factory=no_floats)
    starts_sequence: bool = False
    finish: FinishReason = FinishReason.STOP
    policy_version: int = 0
    exploratory: bool = False
    calls: tuple[ToolCall, ...] = ()
    action_error: str | None = None
    generate_seconds: float = 0.0
    step_seconds: float = 0.0
    value: float | None = None
    advantage: float | None = None
    arrays: dict[str, Floats] = field(default_factory=dict[str, Floats])


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """One training sequence; all arrays have shape (T,).

    Attributes:
        ids: Prompt and completion ids in order.
        mask: True exactly on sampled ids.
        logprobs: Behaviour log-probabilities; 0 where the mask is False.
        turns: Index of the turn that sampled the id; -1 where the mask is False.
        versions: Policy version that sampled the id; -1 where the mask is False.
        images: The images of the observations in it, in order, (H, W, 3) uint8 each.
    """

    ids: Ids
    mask: Bools
    logprobs: Floats
    turns: Ids
    versions: Ids
    images: tuple[Image, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(slots=True, eq=False)
class Trajectory:
    """One episode.

    Attributes:
        env_id: The environment's id.
        task_id: The task's id.
        stop_reason: Why it ended.
        turns: The turns, in order.
        id: Unique.
        goal: The task's goal text.
        seed: What `reset` was seeded with.
        group_id: Episodes of one task and seed that are compared with each other share it.
        success: Whether the task was done.
        instructions: The system prompt.
        tools: The tool specs in OpenAI's shape, as the template showed them.
        final_observation: What the last step showed; no policy answered it.
        final_ids: The ids that would have come next in the prompt, for bootstrapping a value when a
            limit cut the episode short; empty where there are none.
        final_starts_sequence: Whether they are a whole prompt, as a turn's `prompt_ids` are where
            it starts a sequence.
        final_image: (H, W, 3) uint8 that came with what the last step showed, where `final_ids`
            are.
        metrics: The environment's figures at the end.
        error: What failed, for `env_error`, `infra_error` and `policy_error`.
        attempts: How often the episode was started; more than 1 after retries.
        started: Unix time of the reset, in seconds.
        seconds: Wall-clock length of the last attempt.
        reset_seconds: Latency of the reset.
        meta: Versions, data hashes and whatever a caller adds; JSON values.
    """

    env_id: str
    task_id: str
    stop_reason: StopReason
    turns: list[Turn]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    goal: str = ""
    seed: int | None = None
    group_id: str = ""
    success: bool = False
    instructions: str = ""
    tools: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    final_observation: str = ""
    final_ids: Ids = field(default_factory=no_ids)
    final_starts_sequence: bool = False
    final_image: Image | None = None
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    error: str | None = None
    attempts: int = 1
    started: float = 0.0
    seconds: float = 0.0
    reset_seconds: float = 0.0
    meta: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def reward(self) -> float:
        """The sum of the turns' rewards."""
        return float(sum(turn.reward for turn in self.turns))

    @property
    def trainable(self) -> bool:
        """Whether it may be trained on: it ended by the model's doing and has sampled tokens."""
        return self.stop_reason.trainable and any(len(turn.completion_ids) for turn in self.turns)

    @property
    def sampled_tokens(self) -> int:
        """How many ids the policy sampled."""
        return sum(len(turn.completion_ids) for turn in self.turns)

    def context_ids(self, turn: int) -> Ids:
        """Return the whole prompt that a turn answered, shape (T,), as the policy saw it.

        Args:
            turn: The turn's index, or the number of turns for the state after the last one, which a
                limit cut off; empty where `final_ids` are.
        """
        if turn < len(self.turns):
            new, starts = self.turns[turn].prompt_ids, self.turns[turn].starts_sequence
        else:
            new, starts = self.final_ids, self.final_starts_sequence
            if not len(new):
                return no_ids()
        pieces = [new]
        while not starts and turn > 0:
            turn -= 1
            before = self.turns[turn]
            pieces += [before.completion_ids, before.prompt_ids]
            starts = before.starts_sequence
        return np.concatenate(pieces[::-1])

    def context_images(self, turn: int) -> tuple[Image, ...]:
        """Return the images in `context_ids(turn)`, in order."""
        images = [turn.image for turn in self.turns]
        seen = [*images, self.final_image][: turn + 1]
        return tuple(image for image in seen if image is not None)

    def sequences(self) -> list[TokenSequence]:
        """Return the training sequences: one, or several where turns start their own."""
        runs: list[list[int]] = []
        for k, turn in enumerate(self.turns):
            if not len(turn.completion_ids):
                continue
            if turn.starts_sequence or not runs:
                runs.append([])
            runs[-1].append(k)
        return [self._sequence(run) for run in runs]

    def _sequence(self, run: list[int]) -> TokenSequence:
        ids: list[Ids] = []
        mask: list[Bools] = []
        logprobs: list[Floats] = []
        turns: list[Ids] = []
        versions: list[Ids] = []
        for k in run:
            turn = self.turns[k]
            before, sampled = len(turn.prompt_ids), len(turn.completion_ids)
            ids += [turn.prompt_ids, turn.completion_ids]
            mask += [np.zeros(before, np.bool_), np.ones(sampled, np.bool_)]
            logprobs += [np.zeros(before, np.float32), turn.logprobs]
            turns += [np.full(before, -1, np.int32), np.full(sampled, k, np.int32)]
            versions += [
                np.full(before, -1, np.int32),
                np.full(sampled, turn.policy_version, np.int32),
            ]
        return TokenSequence(
            ids=np.concatenate(ids),
            mask=np.concatenate(mask),
            logprobs=np.concatenate(logprobs),
            turns=np.concatenate(turns),
            versions=np.concatenate(versions),
            images=self._images(run),
        )

    def _images(self, run: list[int]) -> tuple[Image, ...]:
        """Return the images of a sequence's turns, and of those that its first prompt repeats."""
        before = range(run[0]) if self.turns[run[0]].starts_sequence else range(0)
        images = [self.turns[k].image for k in (*before, *run)]
        return tuple(image for image in images if image is not None)
