"""What every action format has in common: the parsed action, the protocol, thoughts set apart."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agentgym.actions._json import read_object, write_object
from agentgym.tool import ToolCall, ToolSpec


@dataclass(frozen=True, slots=True)
class ParsedAction:
    """What a model's text means.

    Attributes:
        calls: The tool calls, in order.
        thought: What the model wrote before acting.
        error: What is wrong, in words for the model; the calls are not carried out then.
    """

    calls: tuple[ToolCall, ...] = ()
    thought: str = ""
    error: str | None = None


class ActionFormat(Protocol):
    """Text ⇄ tool calls."""

    @property
    def name(self) -> str:
        """The name it is asked for by."""
        ...

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end a turn when the model writes them; they belong to the turn."""
        ...

    def instructions(self, tools: Sequence[ToolSpec]) -> str:
        """Tell the model how to write an action with these tools."""
        ...

    def parse(self, text: str, tools: Sequence[ToolSpec]) -> ParsedAction:
        """Read what the model wrote. Never raises."""
        ...

    def render(self, action: ParsedAction, tools: Sequence[ToolSpec]) -> str:
        """Write an action as a model would. Never raises.

        `parse(render(action))` has the same calls for every action whose calls fit the tools and
        the format (some have one call a turn) and whose texts don't contain the format's own
        markup. White space around a text may be lost.
        """
        ...


def split_thought(text: str) -> tuple[str, str]:
    """Split what a thinking model wrote into (thought, rest).

    The opening tag may be missing, since some templates put it into the prompt. A thought that is
    never closed is all thought.
    """
    head, close, rest = text.partition("</think>")
    if close:
        return head.replace("<think>", "", 1).strip(), rest
    before, opened, thought = text.partition("<think>")
    return (thought.strip(), before) if opened else ("", text)


def render_thought(thought: str) -> str:
    """Return the thought as `split_thought` reads it; nothing for an empty one."""
    return f"<think>\n{thought}\n</think>\n" if thought else ""


def checked(calls: Sequence[ToolCall], thought: str, tools: Sequence[ToolSpec]) -> ParsedAction:
    """Return the action, with `error` set where a call names no tool or doesn't fit its schema."""
    by_name = {tool.name: tool for tool in tools}
    for call in calls:
        if call.name not in by_name:
            names = ", ".join(by_name) or "none"
            error = f"There is no tool {_short(call.name)!r}. Tools: {names}."
            return ParsedAction(tuple(calls), thought, error)
        problem = by_name[call.name].problem(call.arguments)
        if problem is not None:
            return ParsedAction(tuple(calls), thought, problem)
    return ParsedAction(tuple(calls), thought)


def describe(tools: Sequence[ToolSpec]) -> str:
    """List the tools for the model, a line each."""
    return "\n".join(
        f"- {tool.name}({', '.join(_parameters(tool))}): {tool.description}" for tool in tools
    )


def read_arguments(tool: ToolSpec, text: str) -> tuple[dict[str, Any], str | None]:
    """Read what a model wrote where a tool's arguments go, as (arguments, what is wrong).

    That is a text for a tool with a text argument, else a JSON object. A tool that has options
    besides its text takes either.
    """
    name = tool.text_argument
    if name is None:
        return read_object(text) if text.strip() else ({}, None)
    if not tool.takes_only_text:
        arguments, problem = read_object(text)
        if problem is None and name in arguments:
            return arguments, None
    return {name: text}, None


def write_arguments(call: ToolCall, tools: Sequence[ToolSpec]) -> str:
    """Write a call's arguments as `read_arguments` reads them."""
    text = text_of(call, tools)
    if text is not None:
        spec = next(tool for tool in tools if tool.name == call.name)
        if read_arguments(spec, text)[0] == dict(call.arguments):
            return text
    return write_object(dict(call.arguments))


def text_of(call: ToolCall, tools: Sequence[ToolSpec]) -> str | None:
    """Return the one text argument of a call, or None where the call has another shape."""
    spec = next((tool for tool in tools if tool.name == call.name), None)
    name = spec.text_argument if spec else None
    value: Any = call.arguments.get(name) if name and len(call.arguments) == 1 else None
    return value if isinstance(value, str) else None


def _parameters(tool: ToolSpec) -> list[str]:
    properties: dict[str, dict[str, Any]] = tool.parameters.get("properties", {})
    required = tool.parameters.get("required", ())
    return [
        f"{name}{'' if name in required else '?'}: {_values(about)}"
        for name, about in properties.items()
    ]


def _values(about: Mapping[str, Any]) -> str:
    """Say what a JSON schema takes, in a few words."""
    if "enum" in about:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in about["enum"])
    if "anyOf" in about:
        return " | ".join(_values(one) for one in about["anyOf"])
    found = about.get("type", "any")
    if found == "array" and "items" in about:
        return f"list of {_values(about['items'])}"
    return found if isinstance(found, str) else " | ".join(found)


def _short(name: str) -> str:
    return name if len(name) <= 80 else name[:80] + "…"
