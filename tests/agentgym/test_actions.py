"""Every format reads any text and writes any action; what it writes it reads back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.actions import ActionFormat, ParsedAction, Plain, React, Tags, action_format
from agentgym.actions.base import describe, render_thought, split_thought
from agentgym.errors import UnknownNameError
from agentgym.tool import ToolCall, ToolSpec

FORMATS = ("plain", "tags", "tool_call", "react", "call")
ACT = ToolSpec.text("act", "Acts.", "command", "the command")
CLICK = ToolSpec(
    "click",
    "Clicks.",
    {
        "type": "object",
        "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
        "required": ["x", "y"],
    },
)
RUN = ToolSpec(
    "run",
    "Runs code.",
    {
        "type": "object",
        "properties": {"code": {"type": "string"}, "seconds": {"type": "number"}},
        "required": ["code"],
        "additionalProperties": False,
    },
)
WAIT = ToolSpec("wait", "Waits.", {"type": "object", "properties": {}})
TOOLS = (ACT, CLICK, RUN, WAIT)

# Texts with the formats' own markup in all stages of disrepair.
MARKUP = [
    *("<tool_call>", "</tool_call>", "<think>", "</think>", "<act>", "</act>", "<run>", "</run>"),
    *("Action:", "Thought:", "act[", "]", "\nObservation:", "{", "}", "[", '"', "\\", "```", "\n"),
    *('{"name": "act", "arguments": {"command": "x"}}', "\x00", "\ud800", "\U0001f642"),
]
wild = st.lists(st.sampled_from(MARKUP) | st.text(), max_size=12).map("".join)
# Texts without markup, and without the white space at the ends that formats strip.
tame = st.text(st.characters(exclude_characters="<>`[]{}:", exclude_categories=["Cs"])).map(
    str.strip
)
thoughts = tame.filter(lambda text: "Action" not in text)


def calls_of(text: str) -> st.SearchStrategy[ToolCall]:
    return {
        "act": tame.map(lambda text: ToolCall("act", {"command": text})),
        "click": st.builds(
            lambda x, y: ToolCall("click", {"x": x, "y": y}), st.integers(), st.integers()
        ),
        "run": st.builds(
            lambda code, seconds: ToolCall(
                "run", {"code": code} | ({} if seconds is None else {"seconds": seconds})
            ),
            tame,
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
        ),
        "wait": st.just(ToolCall("wait")),
    }[text]


any_call = st.sampled_from([tool.name for tool in TOOLS]).flatmap(calls_of)


@pytest.mark.parametrize("name", FORMATS)
@given(text=wild)
def test_any_text_is_an_action_that_can_be_written(name: str, text: str) -> None:
    writer = action_format(name)
    for tools in (TOOLS, (ACT,), (CLICK,), ()):
        parsed = writer.parse(text, tools)
        assert parsed.error is not None or parsed.calls
        assert all(isinstance(call.arguments, dict) for call in parsed.calls)
        assert isinstance(writer.render(parsed, tools), str)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 1_000_000,
        "<tool_call>" * 90_000,
        "</tool_call>" * 90_000,
        "<tool_call></tool_call>" * 40_000,
        "<act></act>" * 90_000,
        "<act>" * 200_000,
        "</think>" * 120_000,
        "<think>" * 140_000,
        "Action:" * 140_000,
        "\nThought:" * 100_000,
        "\nObservation:" * 80_000,
        "Action: " + "a" * 500_000 + " " * 500_000,
        "Action: click" + "[" * 1_000_000,
        "Action: click[" + "{" * 500_000 + "]",
        "```\n" * 250_000,
        "\x00\x1b\x7f\x85" * 250_000,
        "\ud800" * 1_000_000,
        "<tool_call>" + "[" * 1_000_000 + "</tool_call>",
        '<tool_call>{"a":' + "1" * 1_000_000 + "}</tool_call>",
        '<tool_call>{"a":1.' + "1" * 1_000_000 + "}</tool_call>",
        '<tool_call>{"name":"' + "\\" * 1_000_000 + '"}</tool_call>',
        "<click>" + '{"x":' * 200_000 + "</click>",
        "-" * 1_000_000,
        "-" * 19_000,
        "not " * 4_000 + "x",
        "+".join("a" * 9_000),
        "act(" * 4_000,
        "act" + ".a" * 9_000,
        "act(*" + "'a' " * 4_000 + ")",
        "<click>{" + ",".join(f'"k{i}":1' for i in range(90_000)) + "}</click>",
    ],
    ids=lambda text: f"{text[:14]!r}",
)
def test_a_megabyte_of_anything_parses(name: str, text: str) -> None:
    # A parser that reads the text again for every tag or bracket in it would take hours on these.
    parsed = action_format(name).parse(text, TOOLS)
    assert isinstance(action_format(name).render(parsed, TOOLS), str)
    assert parsed.error is None or len(parsed.error) < 1000


@given(calls=st.lists(any_call, min_size=1, max_size=3), thought=thoughts)
def test_formats_with_many_calls_a_turn_read_back_what_they_wrote(
    calls: list[ToolCall], thought: str
) -> None:
    for name in ("tags", "tool_call", "call"):
        writer = action_format(name)
        action = ParsedAction(tuple(calls), thought)
        assert writer.parse(writer.render(action, TOOLS), TOOLS) == action


@given(call=any_call, thought=thoughts)
def test_react_reads_back_its_one_call(call: ToolCall, thought: str) -> None:
    writer = React()
    parsed = writer.parse(writer.render(ParsedAction((call,), thought), TOOLS), TOOLS)
    assert parsed.error is None
    assert parsed.calls == (call,)


@given(call=calls_of("act"), thought=thoughts)
def test_formats_for_a_single_tool_read_back_its_text(call: ToolCall, thought: str) -> None:
    for writer in (Plain(), React()):
        parsed = writer.parse(writer.render(ParsedAction((call,), thought), (ACT,)), (ACT,))
        assert parsed.calls == (call,)


@given(call=calls_of("run"))
def test_options_beside_a_text_survive_every_format(call: ToolCall) -> None:
    for name in FORMATS:
        writer = action_format(name)
        assert writer.parse(writer.render(ParsedAction((call,)), (RUN,)), (RUN,)).calls == (call,)


def test_a_text_that_looks_like_arguments_stays_a_text() -> None:
    call = ToolCall("run", {"code": '{"code": "print(1)"}'})
    for name in FORMATS:
        writer = action_format(name)
        assert writer.parse(writer.render(ParsedAction((call,)), (RUN,)), (RUN,)).calls == (call,)


@given(thought=thoughts, rest=tame)
def test_a_thought_is_set_apart(thought: str, rest: str) -> None:
    split = split_thought(render_thought(thought) + rest)
    assert (split[0], split[1].strip()) == (thought, rest)
    assert split_thought(f"{thought}</think>{rest}") == (thought, rest)  # opened in the prompt
    assert split_thought(f"<think>{thought}")[0] == thought  # never closed
    assert split_thought(rest) == ("", rest)


def test_what_stands_inside_a_tag_is_that_tools() -> None:
    text = "So: <run>print('<act>') or '</act>'</run> then <act>go</act>"
    parsed = Tags().parse(text, TOOLS)
    assert parsed.calls == (
        ToolCall("run", {"code": "print('<act>') or '</act>'"}),
        ToolCall("act", {"command": "go"}),
    )
    assert parsed.thought == "So:"


def test_a_fence_around_code_is_no_code() -> None:
    parsed = Tags().parse("<run>\n```python\nif x:\n    y\n```\n</run>", TOOLS)
    assert parsed.calls == (ToolCall("run", {"code": "if x:\n    y"}),)


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        ("{", "not valid JSON"),
        ('{"x": NaN, "y": 1}', "not valid JSON"),
        ('{"x": 1e999, "y": 1}', "not valid JSON"),
        ("[" * 101 + "]" * 101, "not valid JSON|must be a JSON object"),
        ('{"x": ' + "[" * 200 + "]" * 200 + "}", "nesting is too large"),
        ('{"x": 1}', "'y' is a required property"),
        ('{"x": 1, "y": "2"}', "y: '2' is not of type 'integer'"),
        ("3", "must be a JSON object"),
    ],
)
def test_the_model_is_told_what_is_wrong_with_a_call(arguments: str, mistake: str) -> None:
    texts = {
        "tags": f"<click>{arguments}</click>",
        "tool_call": f'<tool_call>{{"name": "click", "arguments": {json.dumps(arguments)}}}'
        "</tool_call>",
        "react": f"Action: click[{arguments}]",
    }
    for name, text in texts.items():
        error = action_format(name).parse(text, TOOLS).error
        assert error is not None
        assert any(part in error for part in mistake.split("|")), error


@pytest.mark.parametrize(
    ("name", "text", "mistake"),
    [
        ("tool_call", "Let me think.", "No tool call"),
        ("tool_call", "<tool_call>{}", "not closed"),
        ("tool_call", '<tool_call>{"name": 3}</tool_call>', "not of the shape"),
        ("tool_call", '<tool_call>{"name": "fly"}</tool_call>', "There is no tool 'fly'"),
        ("tags", "Let me think.", "No action: write one of <act>"),
        ("tags", "<act>go", "<act> is not closed by </act>"),
        ("react", "Let me think.", "No action"),
        ("react", "Action: 3 + 4", "tool[argument]"),
        ("react", "Action: fly[away]", "There is no tool 'fly'"),
        ("call", "", "No action"),
        ("call", "Let me think.", "no call as in Python"),
        ("call", "3 + 4", "must be a call"),
        ("call", "x = act('go')", "must be a call"),
        ("call", "window.act('go')", "must be a call"),
        ("call", "fly()", "There is no tool 'fly'"),
        ("call", "act(go)", "put texts into quotes"),
        ("call", "act(__import__('os').getcwd())", "put texts into quotes"),
        ("call", "act('go', 'on')", "takes at most 1 arguments"),
        ("call", "act('go', command='on')", "command is given twice"),
        ("call", "act(**{'command': 'go'})", "can't be unpacked"),
        ("call", "click(1)", "'y' is a required property"),
        ("call", "click(1, '2')", "y: '2' is not of type 'integer'"),
    ],
)
def test_the_model_is_told_what_is_wrong_with_its_text(name: str, text: str, mistake: str) -> None:
    error = action_format(name).parse(text, TOOLS).error
    assert error is not None
    assert mistake in error


@pytest.mark.parametrize(
    "text",
    [
        "click(3, -4)",
        "click(x=3, y=-4)",
        "click(y=-4, x=3)",
        "<think>There it is.</think>\nclick(3, -4)",
        "There it is.\n```\nclick(3, -4)\n```",
        "There it is.\n```python\nclick(3,\n      -4)  # the button\n```\nDone.",
    ],
)
def test_a_call_is_read_however_it_is_written(text: str) -> None:
    parsed = action_format("call").parse(text, TOOLS)
    assert parsed.error is None
    assert parsed.calls == (ToolCall("click", {"x": 3, "y": -4}),)
    assert parsed.thought in ("", "There it is.")


def test_plain_needs_a_tool_that_takes_a_text() -> None:
    error = Plain().parse("hello", (CLICK,)).error
    assert error is not None
    assert "tool_call" in error


def test_arguments_that_json_cannot_hold_are_written_all_the_same() -> None:
    loop: dict[str, object] = {}
    loop["self"] = loop
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for name in FORMATS:
        for value in (loop, deep, object(), {(1, 2): 3}, float("nan")):
            action = ParsedAction((ToolCall("click", {"x": value}),))
            assert isinstance(action_format(name).render(action, TOOLS), str)


def test_what_the_model_invents_after_its_action_is_cut_off() -> None:
    text = "Thought: look\nAction: act[look]\nObservation: a desk\nThought: go\nAction: act[go]"
    parsed = React().parse(text, TOOLS)
    assert parsed.calls == (ToolCall("act", {"command": "look"}),)
    assert parsed.thought == "look"


@pytest.mark.parametrize("name", FORMATS)
def test_instructions_name_every_tool(name: str) -> None:
    writer: ActionFormat = action_format(name)
    assert writer.name == name
    told = writer.instructions(TOOLS)
    named = TOOLS if name != "plain" else ()
    assert told
    assert all(tool.name in told for tool in named)


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"type": "integer"}, "x?: integer"),
        ({"type": ["integer", "string"]}, "x?: integer | string"),
        ({"enum": ["left", 2, None]}, 'x?: "left" | 2 | null'),
        ({"type": "array", "items": {"type": "string"}}, "x?: list of string"),
        ({"anyOf": [{"type": "string"}, {"type": "array"}]}, "x?: string | array"),
        ({}, "x?: any"),
    ],
)
def test_a_tool_is_listed_with_what_it_takes(schema: dict[str, Any], shown: str) -> None:
    parameters = {"type": "object", "properties": {"x": schema}}
    assert describe([ToolSpec("go", "Goes.", parameters)]) == f"- go({shown}): Goes."
    needed = describe([ToolSpec("go", "Goes.", parameters | {"required": ["x"]})])
    assert needed == f"- go({shown.replace('?', '', 1)}): Goes."


def test_an_unknown_format_is_an_error_with_a_hint() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tool_call'"):
        action_format("toolcall")
