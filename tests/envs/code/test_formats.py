"""How code and answers are read: the first action ends the turn, and boxes are answers."""

import pickle

import pytest

from agentgym.actions import ParsedAction
from agentgym.envs.code.formats import CodeTags, CodeToolCalls, boxed
from agentgym.tool import ToolCall, ToolSpec

TAGS = (ToolSpec.text("code", "", "code", ""), ToolSpec.text("answer", "", "answer", ""))
CALLS = (
    ToolSpec.text("python", "", "code", ""),
    ToolSpec.text("submit_answer", "", "answer", ""),
)


def read(text: str) -> list[tuple[str, str]]:
    parsed = CodeTags(boxed=True).parse(text, TAGS)
    assert (parsed.error is None) == bool(parsed.calls)
    return [(call.name, next(iter(call.arguments.values()))) for call in parsed.calls]


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("So: <code>print(1)</code>", [("code", "print(1)")]),
        ("<code>\n```python\nprint(1)\n```\n</code>", [("code", "print(1)")]),
        ("<code>\n```py\nx = 1\nx\n```\n</code>", [("code", "x = 1\nx")]),
        ("<answer>42</answer>", [("answer", "42")]),
        (r"Thus \boxed{\frac{1}{2}}.", [("answer", r"\frac{1}{2}")]),
        (r"\boxed{1}, no, \boxed{2}", [("answer", "2")]),
        # A thought that isn't finished may hold code, one that is finished doesn't act.
        ("<think>Let me see <code>print(1)</code>", [("code", "print(1)")]),
        ("<think>or <code>no</code>?</think><answer>3</answer>", [("answer", "3")]),
        ("more</think><code>print(1)</code>", [("code", "print(1)")]),
        # The model's own interpreter is nobody's.
        (
            "<code>print(1)</code><interpreter>2</interpreter><answer>2</answer>",
            [("code", "print(1)")],
        ),
        (r"<code>print(1)</code> so \boxed{2}", [("code", "print(1)")]),
        ("<interpreter>2</interpreter>", []),
        ("<code>print(1)", []),
        ("", []),
        (r"\boxed{1", []),
    ],
)
def test_the_first_action_is_the_turns(text: str, calls: list[tuple[str, str]]) -> None:
    assert read(text) == calls


def test_what_was_thought_is_kept() -> None:
    parsed = CodeTags(boxed=True).parse("<think>hm</think>yes<code>1</code>", TAGS)
    assert parsed.thought == "hm"
    assert CodeTags().parse("So <code>1</code>", TAGS).thought == "So"


def test_a_turn_stops_where_it_ends() -> None:
    assert CodeTags().stop == ("</code>", "</answer>")


def test_tool_calls_may_end_in_a_box() -> None:
    reads = CodeToolCalls(boxed=True)
    assert reads.parse(r"It is \boxed{7}.", CALLS).calls == (
        ToolCall("submit_answer", {"answer": "7"}),
    )
    call = '<tool_call>{"name": "python", "arguments": {"code": "1"}}</tool_call>'
    assert reads.parse(rf"\boxed{{7}}? {call}", CALLS).calls == (ToolCall("python", {"code": "1"}),)
    assert reads.parse("no call", CALLS).error is not None
    assert CodeToolCalls().parse(r"\boxed{7}", CALLS).error is not None


@pytest.mark.parametrize("format_", [CodeTags(boxed=True), CodeToolCalls(boxed=True)])
def test_what_is_written_is_read_again(format_: CodeTags | CodeToolCalls) -> None:
    tools = TAGS if isinstance(format_, CodeTags) else CALLS
    for tool in tools:
        argument = tool.text_argument
        assert argument is not None
        call = ToolCall(tool.name, {argument: "a = 1\nprint(a < 2)"})
        written = format_.render(ParsedAction((call,), "think"), tools)
        assert pickle.loads(pickle.dumps(format_)).parse(written, tools).calls == (call,)


def test_boxes_nest() -> None:
    assert boxed(r"\boxed{a_{b_{c}}} {") == "a_{b_{c}}"
    assert boxed(r"\boxed{\{1\}}") == r"\{1\}"
    assert boxed("none") is None
