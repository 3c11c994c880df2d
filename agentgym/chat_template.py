"""`ChatTemplate`: a tokenizer's chat template, asked once what an episode needs to know of it.

An episode's prompt grows by what the model sampled and by the next observation. That needs the
template to be append-only for our messages (system, user, assistant, user, …): what it wrote for
the earlier messages must stay a prefix when a message is added. Construction checks this on probe
conversations, with and without tools and with answers that think or call tools; some templates
fail, for instance those that drop the thinking of earlier answers. Where the check passes, `bridge`
gives the ids that follow a sampled answer.

With an image processor the template shows a vision model the images of messages: it writes one
placeholder for each, where it likes, which is repeated for every cell of the image.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from agentgym.env import Image
from agentgym.errors import UsageError
from agentgym.images import (
    IMAGE_PAD,
    ImageProcessor,
    PlacedImage,
    place,
    placeholders,
    spread,
)
from agentgym.message import Message
from agentgym.tokenizer import Tokenizer
from agentgym.tool import ToolSpec

Ids = npt.NDArray[np.int32]

_log = logging.getLogger(__name__)

# Stands for an answer in probe renderings. Found again by search, so nothing else may contain it.
_ANSWER = "⁂answer⁂"
_PROBE_IMAGE = np.zeros((64, 64, 3), np.uint8)
_PROBE_TOOLS = [ToolSpec.text("act", "Act.", "text", "What to do.").openai()]
_PROBE_ANSWERS = {
    "an answer": [f"{_ANSWER}{k}" for k in range(3)],
    "an answer that thinks": [f"<think>\n{_ANSWER}{k}\n</think>\n\ngo" for k in range(3)],
    "an answer that calls a tool": [
        f'<tool_call>\n{{"name": "act", "arguments": {{"text": "{_ANSWER}{k}"}}}}\n</tool_call>'
        for k in range(3)
    ],
}


class ChatTemplate:
    """How messages become ids.

    Args:
        tokenizer: A Hugging Face tokenizer with a chat template.
        options: Variables of the template, such as {"enable_thinking": False}.
        observation_role: The role of the observations after the first: "user", or "tool" for
            templates that know it. Qwen3 keeps earlier thinking where it is followed by tool
            messages. With "assistant" an observation continues the model's own message, between
            line breaks, as ReTool's interpreter output does; only an answer that ended itself is
            followed by a user message. That always appends.
        force_append: Append even where the template would rewrite what came before: what was
            sampled stays in the history as it was, which the template's own prompts would not show.
        image_processor: The vision model's, whose placeholder is `<|image_pad|>`; None for a model
            that doesn't see, whose prompts leave images out.

    Attributes:
        end_of_turn: The id that ends an answer; None where the template has no single one.
        stop_ids: Ids that end an answer when sampled.
        continues: Whether observations continue the model's own message.
        image_processor: As given.
        image_pad: The placeholder's id; None without an image processor.

    Raises:
        UsageError: If the tokenizer has no chat template, the template can't render a conversation
            or an image, or appending is forced on a template that has no end-of-turn token.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        options: Mapping[str, Any] | None = None,
        observation_role: str = "user",
        force_append: bool = False,
        image_processor: ImageProcessor | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.image_pad = None if image_processor is None else _id_of_pad(tokenizer)
        self.observation_role = observation_role
        self.continues = observation_role == "assistant"
        self._options = dict(options or {})
        control = [*tokenizer.all_special_tokens, *([IMAGE_PAD] if image_processor else [])]
        self._control = re.compile("|".join(re.escape(t) for t in control if t) or r"(?!)")
        self._folds_system = self._refuses_system()
        # Environments repeat themselves ("Nothing happens."), and rendering costs far more than a
        # look-up.
        self._bridges = lru_cache(maxsize=16384)(self._render_bridge)
        self._insets = lru_cache(maxsize=16384)(self._render_inset)
        self.end_of_turn = self._find_end_of_turn()
        eos = tokenizer.eos_token_id
        self.stop_ids = frozenset(id for id in (self.end_of_turn, eos) if id is not None)
        if image_processor is not None:
            self._show_probe_image()
        appends = force_append or self.continues
        if appends and self.end_of_turn is None:
            raise UsageError(
                "force_append and observation_role='assistant' need a template that ends an answer "
                "with a control token."
            )
        self._reasons = {
            with_tools: None if appends else self._rewrites(with_tools)
            for with_tools in (False, True)
        }
        self._told = False

    @property
    def append_only(self) -> bool:
        """Whether an episode without tools in its prompt is one training sequence."""
        return self._reasons[False] is None

    def why(self, tools: Sequence[ToolSpec] = ()) -> str | None:
        """Say why episodes with these tools can't be appended to; None if they can."""
        return self._reasons[bool(tools)]

    def warn_once(self, reason: str) -> None:
        """Log, the first time, that episodes split into a sequence per turn."""
        if not self._told:
            self._told = True
            _log.warning("Each turn becomes a training sequence of its own, because %s", reason)

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> Ids:
        """Return the whole prompt, shape (T,), up to where the next answer starts.

        Args:
            messages: The conversation, ending in an observation.
            tools: What the template shows as tools.

        Raises:
            EnvError: If a message has an image that is none.
        """
        ids = self._encode(self.render(messages, tools))
        return self._spread(ids, [self._cells(message.get("image")) for message in messages])

    def bridge(self, observation: str, image: Image | None = None, *, ended: bool) -> Ids:
        """Return the ids between a sampled answer and the next one, shape (T,).

        Args:
            observation: What the environment showed.
            image: The image that came with it.
            ended: Whether the answer's last id is `end_of_turn`; it is written here otherwise,
                unless the observation continues the answer.

        Raises:
            EnvError: If the image is none.
        """
        cells = self._cells(image)
        if self.continues and not ended:
            return self._insets(observation)
        ids = self._bridges(observation, cells)
        return ids[1:] if ended else ids

    def placed(self, ids: Ids, images: Sequence[Image]) -> tuple[PlacedImage, ...]:
        """Return images with their places in ids that this template wrote.

        Args:
            ids: A prompt or a bridge, shape (T,), without anything that was sampled.
            images: The images of its messages, in order; a model that doesn't see has no place for
                them.

        Raises:
            DataError: If the ids were written for others.
        """
        if self.image_processor is None:
            return ()
        return place(np.flatnonzero(ids == self.image_pad), images, self.image_processor)

    def answer(self, text: str, *, last: bool = True) -> Ids:
        """Return the ids of an answer that was written, not sampled, with its end of turn.

        Args:
            text: The answer.
            last: Whether no observation follows; one that continues the answer leaves it open.
        """
        ids = self._encode(self._defused(text))
        if self.continues and not last:
            return ids
        end = self.tokenizer.eos_token_id if self.end_of_turn is None else self.end_of_turn
        return ids if end is None else np.append(ids, np.int32(end))

    def decode(self, ids: Ids, *, special: bool = False) -> str:
        """Return the ids' text, with control tokens where `special`."""
        text: str = self.tokenizer.decode(
            ids, skip_special_tokens=not special, clean_up_tokenization_spaces=False
        )
        return text

    def drifts(self, completion_ids: Ids) -> bool:
        """Whether decoding sampled ids and encoding the text again would give other ids."""
        return not np.array_equal(
            self._encode(self.decode(completion_ids, special=True)), completion_ids
        )

    def render(self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> str:
        """Return the prompt as text.

        A control token's text inside a message ("<|im_end|>" on a web page) would end the message;
        a zero-width space defuses it.
        """
        safe = [{**message, "content": self._defused(message["content"])} for message in messages]
        return self._render(safe, [tool.openai() for tool in tools] or None)

    def _render(self, messages: list[Message], tools: list[dict[str, Any]] | None) -> str:
        if self._folds_system and messages[0]["role"] == "system":
            system, first, *rest = messages
            joined = f"{system['content']}\n\n{first['content']}"
            messages = [{**first, "content": joined}, *rest]
        text: str = self.tokenizer.apply_chat_template(
            [self._shown(message) for message in messages],
            tools=tools,
            tokenize=False,
            add_generation_prompt=True,
            **self._options,
        )
        return text

    def _shown(self, message: Message) -> Message:
        """Return a message as templates take it, with its image where the model sees."""
        shown = {key: value for key, value in message.items() if key != "image"}
        if self.image_processor is not None and message.get("image") is not None:
            shown["content"] = [{"type": "image"}, {"type": "text", "text": message["content"]}]
        return shown

    def _cells(self, image: Image | None) -> int:
        """Return how many placeholders an image takes here."""
        if image is None or self.image_processor is None:
            return 0
        return placeholders(self.image_processor, image)

    def _spread(self, ids: Ids, cells: Sequence[int]) -> Ids:
        """Repeat each placeholder for the cells of its image."""
        return ids if self.image_pad is None else spread(ids, self.image_pad, cells)

    def _render_bridge(self, observation: str, cells: int) -> Ids:
        text = self._bridge_text(self._defused(observation), _PROBE_IMAGE if cells else None)
        ids = self._spread(self._encode(text), [cells])
        ids.flags.writeable = False  # shared by every episode that meets this observation
        return ids

    def _render_inset(self, observation: str) -> Ids:
        ids = self._encode(f"\n{self._defused(observation)}\n")
        ids.flags.writeable = False
        return ids

    def _bridge_text(self, observation: str, image: Image | None = None) -> str:
        base = [{"role": "user", "content": "."}, {"role": "assistant", "content": _ANSWER}]
        text = self._render([*base, self._observation(observation, image)], None)
        return text[text.index(_ANSWER) + len(_ANSWER) :]

    def _observation(self, text: str, image: Image | None = None) -> Message:
        role = "user" if self.continues else self.observation_role
        return {"role": role, "content": text, "image": image}

    def _encode(self, text: str) -> Ids:
        return np.asarray(self.tokenizer.encode(text, add_special_tokens=False), np.int32)

    def _defused(self, text: str) -> str:
        return self._control.sub(lambda match: f"{match[0][0]}\u200b{match[0][1:]}", text)

    # What construction finds out.

    def _refuses_system(self) -> bool:
        """Whether the template raises on a system message, or leaves it out."""
        user = {"role": "user", "content": "."}
        self._folds_system = False
        try:
            self._render([user], None)
        except Exception as fault:
            raise UsageError(f"The tokenizer can't render a chat: {fault}") from fault
        try:
            return _ANSWER not in self._render([{"role": "system", "content": _ANSWER}, user], None)
        except Exception:  # templates raise what they like
            return True

    def _show_probe_image(self) -> None:
        """Refuse a template that has no place for images."""
        if self.continues:
            raise UsageError(
                "observation_role='assistant' has no place for images; use 'user' with a model "
                "that sees."
            )
        try:
            self._render_bridge(".", 1)
        except UsageError:
            raise
        except Exception as fault:  # templates raise what they like
            raise UsageError(f"The chat template can't render an image: {fault}") from fault

    def _find_end_of_turn(self) -> int | None:
        """Return the control token that follows an answer at once, if there is one."""
        ids = self._encode(self._bridge_text("."))
        control = {*self.tokenizer.all_special_ids, *self.tokenizer.get_added_vocab().values()}
        return int(ids[0]) if len(ids) and int(ids[0]) in control else None

    def _rewrites(self, with_tools: bool) -> str | None:
        """Say where the template rewrites what it wrote before; None if it never does."""
        if self.end_of_turn is None:
            return "the template has no control token that ends an answer."
        bridge = self._bridge_text(".")
        if self._encode("." + bridge)[1:].tolist() != self._encode(bridge).tolist():
            return "the tokenizer reads the text after an answer differently when it stands alone."
        tools = _PROBE_TOOLS if with_tools else None
        image = None if self.image_processor is None else _PROBE_IMAGE
        start: list[Message] = [
            {"role": "system", "content": "s"},
            self._observation("o", image) | {"role": "user"},
        ]
        for kind, answers in _PROBE_ANSWERS.items():
            messages = list(start)
            ours = self._render(messages, tools)
            for k, answer in enumerate(answers):
                observation = f"observation {k}", None if k % 2 else image
                messages += [
                    {"role": "assistant", "content": answer},
                    self._observation(*observation),
                ]
                ours += answer + self._bridge_text(*observation)
                try:
                    theirs = self._render(messages, tools)
                except Exception as fault:
                    return f"the template can't render {kind}: {fault}"
                if theirs != ours:
                    return f"the template rewrites {kind}: {_difference(ours, theirs)}"
        return None


def _id_of_pad(tokenizer: Tokenizer) -> int:
    """Return the placeholder's id."""
    pad = tokenizer.get_added_vocab().get(IMAGE_PAD)
    if pad is None:
        raise UsageError(
            f"The tokenizer has no {IMAGE_PAD}, which stands for images; pass the tokenizer of a "
            "Qwen-VL model, or no image processor."
        )
    return pad


def _difference(ours: str, theirs: str) -> str:
    at = next(
        (k for k, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
        min(len(ours), len(theirs)),
    )
    return f"{ours[at : at + 24]!r} becomes {theirs[at : at + 24]!r} once a message follows."
