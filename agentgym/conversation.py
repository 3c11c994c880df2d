"""`Conversation`: one episode's prompt, grown in the ids that were really sampled.

It goes `observe(text)`, `complete(completion)`, `observe(text)`, … . `observe` gives the whole
prompt that the policy answers and the part of it that is new; `complete` gives the `Turn` that a
trajectory keeps. Sampled ids are appended as they are and never made from text again. Where the
chat template rewrites earlier messages (`append_only` is False, `why` says how), every turn is a
training sequence of its own, with its whole prompt. Images come with observations, and stand in the
prompts of a model that sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agentgym.chat_template import ChatTemplate, Ids
from agentgym.env import Image
from agentgym.errors import EpisodeStateError
from agentgym.images import PlacedImage
from agentgym.message import Message
from agentgym.policy import Completion
from agentgym.tool import ToolSpec
from agentgym.trajectory import Trajectory, Turn, no_ids


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a policy answers next.

    Attributes:
        ids: The whole prompt, shape (T,); None for a policy without tokens.
        new_ids: What the turn stores: the ids since the previous completion, or the whole prompt
            where the turn starts a sequence.
        starts_sequence: Whether the turn begins a training sequence.
        images: The images in `ids`, in order.
    """

    ids: Ids | None
    new_ids: Ids
    starts_sequence: bool
    images: tuple[PlacedImage, ...] = ()


class Conversation:
    """One episode's messages and ids.

    Args:
        template: The policy's chat template; None for a policy without tokens.
        instructions: The system prompt; empty for none.
        tools: Tools that the template shows the model, for templates that do.
    """

    def __init__(
        self,
        template: ChatTemplate | None,
        instructions: str = "",
        tools: Sequence[ToolSpec] = (),
    ) -> None:
        self._template = template
        self._tools = tuple(tools)
        self._messages: list[Message] = []
        if instructions:
            self._messages.append({"role": "system", "content": instructions})
        self._ids = no_ids()
        self._images: tuple[PlacedImage, ...] = ()
        self._turns = 0
        self._open: tuple[str, Image | None, Prompt] | None = None
        self.why = template.why(self._tools) if template is not None else None
        if template is not None and self.why is not None:
            template.warn_once(self.why)

    @property
    def append_only(self) -> bool:
        """Whether the episode is one training sequence; `why` says why not."""
        return self.why is None

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far."""
        return tuple(self._messages)

    @property
    def ids(self) -> Ids:
        """The ids so far, shape (T,), as the policy last saw and wrote them."""
        return self._ids

    def peek(self, observation: str, image: Image | None = None) -> Prompt:
        """Return what `observe` would return, without recording the observation."""
        template = self._template
        if template is None:
            return Prompt(None, no_ids(), starts_sequence=False)
        if self._turns and self.append_only:
            ended = bool(len(self._ids)) and int(self._ids[-1]) == template.end_of_turn
            new = template.bridge(observation, image, ended=ended)
            # What was sampled is never searched: a model may write a placeholder's id itself.
            added = template.placed(new, [] if image is None else [image])
            moved = [replace(one, start=len(self._ids) + one.start) for one in added]
            images = (*self._images, *moved)
            return Prompt(np.concatenate([self._ids, new]), new, False, images)
        messages = [*self._messages, self._message(observation, image)]
        whole = template.prompt(messages, self._tools)
        seen = [message["image"] for message in messages if "image" in message]
        return Prompt(whole, whole, True, template.placed(whole, seen))

    def observe(self, observation: str, image: Image | None = None) -> Prompt:
        """Record what the environment showed and return the prompt to answer.

        Args:
            observation: The text.
            image: (H, W, 3) uint8 that came with it. It stands in the messages, and in the ids of
                a model that sees, and must not be written to any more.

        Raises:
            EpisodeStateError: If the observation before it has no answer yet.
            EnvError: If the image is none.
        """
        if self._open is not None:
            raise EpisodeStateError(
                "The last observation has no answer yet; call complete() first."
            )
        prompt = self.peek(observation, image)
        self._messages.append(self._message(observation, image))
        if prompt.ids is not None:
            self._ids, self._images = prompt.ids, prompt.images
        self._open = observation, image, prompt
        return prompt

    def complete(self, completion: Completion) -> Turn:
        """Record the policy's answer and return the turn; its reward is still to be written.

        Raises:
            EpisodeStateError: If there is no observation to answer.
        """
        if self._open is None:
            raise EpisodeStateError("There is no observation to answer; call observe() first.")
        observation, image, prompt = self._open
        self._open = None
        self._turns += 1
        self._messages.append({"role": "assistant", "content": completion.text})
        if prompt.ids is not None:
            self._ids = np.concatenate([self._ids, completion.ids])
        return Turn(
            observation=observation,
            action=completion.text,
            image=image,
            prompt_ids=prompt.new_ids,
            completion_ids=completion.ids,
            logprobs=completion.logprobs,
            starts_sequence=prompt.starts_sequence,
            finish=completion.finish,
            policy_version=completion.policy_version,
            exploratory=completion.exploratory,
        )

    def _message(self, observation: str, image: Image | None) -> Message:
        role = (
            "user"
            if self._turns == 0 or self._template is None
            else self._template.observation_role
        )
        message: Message = {"role": role, "content": observation}
        return message if image is None else message | {"image": image}


def tokenized(
    trajectory: Trajectory, template: ChatTemplate, tools: Sequence[ToolSpec] = ()
) -> Trajectory:
    """Return the trajectory with ids for a model that did not sample it, as imitation needs.

    Every action is encoded as the model would have had to write it; log-probabilities are 0, and
    what critics wrote about the old ids is dropped.

    Args:
        trajectory: Any trajectory; its texts and images are all that is read.
        template: The learner's chat template.
        tools: Tools that the template shows the model.
    """
    conversation = Conversation(template, trajectory.instructions, tools)
    turns: list[Turn] = []
    for k, old in enumerate(trajectory.turns, 1):
        conversation.observe(old.observation, old.image)
        ids = template.answer(old.action, last=k == len(trajectory.turns))
        new = conversation.complete(Completion(old.action, ids, np.zeros(len(ids), np.float32)))
        turns.append(
            replace(
                old,
                prompt_ids=new.prompt_ids,
                completion_ids=new.completion_ids,
                logprobs=new.logprobs,
                starts_sequence=new.starts_sequence,
                value=None,
                advantage=None,
                arrays={},
            )
        )
    if not turns:
        return replace(trajectory, turns=turns, final_ids=no_ids(), final_starts_sequence=False)
    final = conversation.peek(trajectory.final_observation, trajectory.final_image)
    return replace(
        trajectory,
        turns=turns,
        final_ids=final.new_ids,
        final_starts_sequence=final.starts_sequence,
    )


def count_drift(trajectory: Trajectory, template: ChatTemplate) -> int:
    """Count the turns whose sampled ids would change if their text were tokenised again."""
    return sum(template.drifts(turn.completion_ids) for turn in trajectory.turns)
