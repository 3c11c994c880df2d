"""Messages and calls in OpenAI's shape: what is said there is what is said here."""

import base64
import gc
import json
import re
import struct
import weakref
import zlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym._openai_shape import (
    ChatAnswer,
    Pictures,
    WrittenCall,
    tool_call_text,
    with_native_calls,
)
from agentgym.actions import ToolCallFormat
from agentgym.env import Image
from agentgym.errors import UsageError
from agentgym.message import Message
from agentgym.tool import ToolCall, ToolSpec

FORM = ToolCallFormat()
SAY = ToolSpec.text("say", "Say something.", "text", "what")
LOOK = ToolSpec("look", "Look around.", {"type": "object", "properties": {}})
TOOLS = (SAY, LOOK)

texts = st.one_of(
    st.text(),
    st.sampled_from(["</tool_call>", "<tool_call>", "<think>", "a </think> b", "\\<think>", "<"]),
)


def picture(*shape: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def pixels(url: str) -> Image:
    """Read a PNG of ours back: rows that differ from the row above."""
    kind, _, data = url.partition(",")
    assert kind == "data:image/png;base64"
    file = base64.b64decode(data)
    width, height = struct.unpack(">II", file[16:24])
    (length,) = struct.unpack(">I", file[33:37])
    rows = np.frombuffer(zlib.decompress(file[41 : 41 + length]), np.uint8).reshape(height, -1)
    return np.add.accumulate(rows[:, 1:], axis=0, dtype=np.uint8).reshape(height, width, 3)


def test_an_image_is_a_part_and_the_rest_stays_text() -> None:
    image = picture(5, 7, 3)
    messages: list[Message] = [
        {"role": "system", "content": "Click."},
        {"role": "user", "content": "A page.", "image": image},
        {"role": "assistant", "content": "click(1)"},
        {"role": "user", "content": "", "image": image},
        {"role": "user", "content": "No page.", "image": None},
    ]
    system, seen, action, bare, unseen = Pictures().shown(messages)
    assert (system, action) == (messages[0], messages[2])
    assert unseen == {"role": "user", "content": "No page."}
    shown, said = seen["content"]
    assert said == {"type": "text", "text": "A page."}
    assert shown["type"] == "image_url"
    assert np.array_equal(pixels(shown["image_url"]["url"]), image)
    assert bare["content"] == [shown]
    assert messages[1]["image"] is image


def test_an_image_is_encoded_once_and_kept_no_longer_than_it_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from agentgym.store import images

    encoded = list[int]()
    whole = images.png
    monkeypatch.setattr(images, "png", lambda image: encoded.append(1) or whole(image))
    pictures = Pictures()
    for seed in range(3):
        image = picture(4, 4, 3, seed=seed)
        for _ in range(3):
            (message,) = pictures.shown([{"role": "user", "content": "", "image": image}])
            assert np.array_equal(pixels(message["content"][0]["image_url"]["url"]), image)
        gone = weakref.ref(image)
        del image
        gc.collect()
        assert gone() is None  # and its address, most likely, is the next one's
    assert len(encoded) == 3


def test_what_is_no_image() -> None:
    with pytest.raises(UsageError, match=r"shape \(H, W, 3\)"):
        Pictures().shown([{"role": "user", "content": "", "image": picture(4, 4)}])


@given(text=texts, more=texts)
def test_calls_come_through_the_format(text: str, more: str) -> None:
    calls = [WrittenCall("say", json.dumps({"text": text})), WrittenCall("look", more and "{}")]
    parsed = FORM.parse(tool_call_text("", calls), TOOLS)
    assert parsed.error is None
    assert parsed.calls == (ToolCall("say", {"text": text}), ToolCall("look", {}))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (WrittenCall("say", '{"text": '), "wrong in its arguments: not valid JSON"),
        (WrittenCall("say", "[1]"), "must be a JSON object"),
        (WrittenCall("say", '{"text": NaN}'), "not valid JSON"),
        (WrittenCall("say", "[" * 100_000), "too large|not valid JSON"),
        (WrittenCall("say", '{"text": ' + "[" * 500 + "]" * 500 + "}"), "too large"),
        (WrittenCall("say", '{"txt": "a"}'), "say: "),
        (WrittenCall("</tool_call>", "{}"), "There is no tool '</tool_call>'"),
    ],
)
def test_a_call_that_is_none_is_for_the_format_to_refuse(call: WrittenCall, says: str) -> None:
    parsed = FORM.parse(tool_call_text("I try.", [call]), TOOLS)
    assert parsed.error is not None
    assert re.search(says, parsed.error)


def test_what_is_said_beside_a_call_is_the_thought() -> None:
    text = tool_call_text(" Let me look.\n", [WrittenCall("look", "")])
    assert text == 'Let me look.\n<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>'
    assert FORM.parse(text, TOOLS).thought == "Let me look."


def test_earlier_actions_are_calls_again_and_observations_answer_them() -> None:
    image = picture(2, 2, 3)
    one = tool_call_text("Hm.", [WrittenCall("look", "{}")])
    two = tool_call_text("", [WrittenCall("say", '{"text": "é"}'), WrittenCall("look", "")])
    user = "user"
    chat: list[Message] = [
        {"role": "system", "content": "S"},
        {"role": user, "content": "O0"},
        {"role": "assistant", "content": one},
        {"role": user, "content": "O1", "image": image},
        {"role": "assistant", "content": "What?"},
        {"role": user, "content": "No tool call"},
        {"role": "assistant", "content": two},
        {"role": user, "content": "O3"},
    ]
    native = with_native_calls(chat, FORM, TOOLS)
    assert native[:2] == chat[:2]
    first, answer, seen = native[2:5]
    (call,) = first.pop("tool_calls")
    assert first == {"role": "assistant", "content": "Hm."}
    assert call["type"] == "function"
    assert call["function"] == {"name": "look", "arguments": "{}"}
    assert answer == {"role": "tool", "tool_call_id": call["id"], "content": "O1"}
    assert seen == {"role": "user", "content": "", "image": image}
    assert native[5:7] == chat[4:6]  # no call, and so no answer to one
    second, early, late = native[7:]
    said, looked = second["tool_calls"]
    assert second["content"] is None
    assert said["function"] == {"name": "say", "arguments": '{"text": "é"}'}
    assert (early["tool_call_id"], late["tool_call_id"]) == (said["id"], looked["id"])
    assert "last call" in early["content"]
    assert late["content"] == "O3"
    ids = [call["id"], said["id"], looked["id"]]
    assert len(set(ids)) == 3
    assert all(re.fullmatch("[a-z0-9]{9}", each) for each in ids)
    assert with_native_calls(chat, FORM, TOOLS)[2]["tool_calls"][0]["id"] == call["id"]


def said(content: Any, tool_calls: Any = None, finish: str = "stop") -> Any:
    message = SimpleNamespace(content=content, tool_calls=tool_calls)
    return SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason=finish)])


def test_answers_are_read() -> None:
    call = SimpleNamespace(function=SimpleNamespace(name="look", arguments="{}"))
    assert ChatAnswer.read(said("Hi", finish="length")) == ChatAnswer("Hi", (), cut_short=True)
    assert ChatAnswer.read(said(None, [call])) == ChatAnswer(
        None, (WrittenCall("look", "{}"),), cut_short=False
    )


@pytest.mark.parametrize(
    "answer",
    [
        None,
        said(3),
        said([]),
        said("", 3),
        said("", [SimpleNamespace(function=None)]),
        said("", [SimpleNamespace(function=SimpleNamespace(name="look", arguments={}))]),
        SimpleNamespace(choices=None),
        SimpleNamespace(choices=[]),
    ],
)
def test_what_is_no_answer(answer: Any) -> None:
    with pytest.raises(ValueError, match="part"):
        ChatAnswer.read(answer)
