"""Rules about what a model may write: anything at all, in every action format."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from agentgym.actions import ParsedAction
from agentgym.conformance.subject import Subject, begin, demand, take
from agentgym.env import AgentEnv
from agentgym.tool import ToolCall

TEXTS: Mapping[str, str] = {
    "an empty text": "",
    "white space": " \n\t\r\n ",
    "unicode": "Öffne die 戸棚, افتح الباب, 🙂\u200d🧑\u0301 \u202edne",
    "1 MB of text": "look at the desk " * 65_536,
    "control characters": "".join(map(chr, (*range(32), *range(127, 160)))),
    "a lone surrogate": "open \ud800 drawer \udfff",
    "broken markup": '<think><tool_call>{"name": [}</think></tool_call>Action: [',
    "a bottomless nesting": '<tool_call>{"name": ' + "[" * 100_000,
}
"""Texts that models have written or might, by what they are called."""


def in_format(name: str, subject: Subject) -> str:
    """No text, bare or inside a well-formed call, gets more than an observation out of `step`."""
    with subject.opened(action_format=name) as env:
        begin(env)
        count = 0
        for what, action in _actions(env):
            if take(env, action, what).ended:
                begin(env)
            count += 1
        demand(
            begin(env).info["turn"] == 0, "reset() after these actions does not begin at turn 0."
        )
    return f"{count} hostile actions gave observations"


def _actions(env: AgentEnv) -> Iterator[tuple[str, str]]:
    for what, text in TEXTS.items():
        yield what, text
    for tool in env.tools:
        for what, text in TEXTS.items():
            arguments = example(tool.parameters, text)
            call = ToolCall(tool.name, cast("dict[str, Any]", arguments))
            written = env.action_format.render(ParsedAction((call,)), env.tools)
            yield f"{what} in a call of {tool.name}", written


def example(schema: Mapping[str, Any], text: str) -> object:
    """Return a value that fits a JSON schema, as far as simple schemas go, with `text` in it."""
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return example(schema[choice][0], text)
    kind: object = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = cast("list[object]", kind)[0]
    if kind == "object":
        properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
        return {name: example(part, text) for name, part in properties.items()}
    if kind == "array":
        items: Mapping[str, Any] = schema.get("items", {})
        return [example(items, text)] * max(1, int(schema.get("minItems", 1)))
    if kind in ("integer", "number"):
        return schema.get("minimum", min(0, schema.get("maximum", 0)))
    return {"boolean": True, "null": None}.get(str(kind), text)
