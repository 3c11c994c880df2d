"""Messages and tool calls as OpenAI's API has them, and back.

Our messages are text with perhaps an image. There, an image is a part of the content, and a call is
no text but a field of its own, answered in a message of the role "tool". Conversations keep the
text of the action format, so both directions are needed: the calls of a new answer become that
text, and the text of earlier turns becomes calls again, since a model goes on as it finds itself
to have begun.
"""

import base64
import re
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentgym.actions import ActionFormat
from agentgym.actions._json import read_object, write_object
from agentgym.env import Image
from agentgym.message import Message
from agentgym.tool import ToolCall, ToolSpec

_MARKUP = re.compile(r"<(?=/?(?:think|tool_call)>)")
_ANSWERED_LATER = "See the result of the last call."


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """A call as a model wrote it.

    Attributes:
        name: The tool's name.
        arguments: Meant to be a JSON object, and perhaps none.
    """

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What a model answered.

    Attributes:
        text: Its text; None if it wrote none.
        calls: The tool calls that it made beside the text.
        cut_short: Whether it ran out of tokens.
    """

    text: str | None
    calls: tuple[WrittenCall, ...]
    cut_short: bool

    @classmethod
    def read(cls, answer: Any) -> "ChatAnswer":
        """Return what a response of the `openai` client says.

        Servers that are almost like OpenAI's leave things out, and the client lets it pass.

        Raises:
            ValueError: If it is no answer.
        """
        try:
            choice = answer.choices[0]
            text, written = choice.message.content, choice.message.tool_calls or ()
            calls = tuple(WrittenCall(c.function.name, c.function.arguments) for c in written)
        except (LookupError, TypeError, AttributeError) as fault:
            raise ValueError("a part is missing") from fault
        parts: list[object] = [part for call in calls for part in (call.name, call.arguments)]
        if not isinstance(text, str | None) or not all(isinstance(part, str) for part in parts):
            raise ValueError("a part that should be text is none")
        return cls(text, calls, choice.finish_reason == "length")


class Pictures:
    """Images as data URLs; each is encoded once, though every later turn shows it again."""

    def __init__(self) -> None:
        self._urls: dict[int, tuple[weakref.ref[Image], str]] = {}

    def shown(self, messages: Sequence[Message]) -> list[Message]:
        """Return messages in which images are parts of the content; others stay plain text.

        Raises:
            StoreError: If an image is not (H, W, 3) uint8.
        """
        return [self._shown(message) for message in messages]

    def _shown(self, message: Message) -> Message:
        if "image" not in message:
            return message
        plain = {key: value for key, value in message.items() if key != "image"}
        image = message["image"]
        if image is None:
            return plain
        parts: list[Any] = [{"type": "image_url", "image_url": {"url": self._url(image)}}]
        if message["content"]:
            parts.append({"type": "text", "text": message["content"]})
        return {**plain, "content": parts}

    def _url(self, image: Image) -> str:
        key = id(image)
        known = self._urls.get(key)
        if known is not None:
            return known[1]
        from agentgym.store.images import png

        url = "data:image/png;base64," + base64.b64encode(png(image)).decode()
        # An id is free for others once the array is gone, and by then the entry is gone as well.
        self._urls[key] = weakref.ref(image, lambda _: self._urls.pop(key, None)), url
        return url


def tool_call_text(text: str, calls: Sequence[WrittenCall]) -> str:
    """Return an answer with calls as the action format `tool_call` reads it.

    Args:
        text: What the model said besides.
        calls: Its calls.
    """
    blocks = [f"<tool_call>\n{_body(call)}\n</tool_call>" for call in calls]
    return "\n".join([text.strip(), *blocks] if text.strip() else blocks)


def with_native_calls(
    messages: Sequence[Message], form: ActionFormat, tools: Sequence[ToolSpec]
) -> list[Message]:
    """Return a conversation whose earlier actions are calls, and whose observations answer them.

    An action that doesn't parse stays text. One observation follows on all calls of a turn; it
    answers the last of them. An image, which an answer to a call can't have, follows by itself.

    Args:
        messages: The conversation, with actions as text.
        form: Their format.
        tools: What they call.
    """
    native: list[Message] = []
    made = 0
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "assistant":
            parsed = form.parse(message["content"], tools)
            calls = () if parsed.error else parsed.calls
            # Mistral's servers take ids of nine letters and digits only.
            waiting = [f"call{made + k:05}" for k in range(len(calls))]
            made += len(calls)
            native.append(_calling(parsed.thought, calls, waiting) if calls else message)
        elif waiting:
            *earlier, last = waiting
            native += [_result(call, _ANSWERED_LATER) for call in earlier]
            native.append(_result(last, message["content"]))
            if message.get("image") is not None:
                native.append({"role": "user", "content": "", "image": message["image"]})
            waiting = []
        else:
            native.append(message)
    return native


def _calling(thought: str, calls: Sequence[ToolCall], ids: Sequence[str]) -> Message:
    written = [
        {
            "id": call_id,
            "type": "function",
            "function": {
                "name": call.name,
                "arguments": write_object(dict(call.arguments)),
            },
        }
        for call_id, call in zip(ids, calls, strict=True)
    ]
    return {"role": "assistant", "content": thought or None, "tool_calls": written}


def _result(call_id: str, text: str) -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def _body(call: WrittenCall) -> str:
    arguments, problem = read_object(call.arguments.strip() or "{}")
    # What is no object goes on as it is, and the format says what is wrong with it.
    given = arguments if problem is None else call.arguments
    body = write_object({"name": call.name, "arguments": given})
    # Inside a text, the format's own tags would end the call; JSON has another way to write them.
    return _MARKUP.sub(r"\\u003c", body)
