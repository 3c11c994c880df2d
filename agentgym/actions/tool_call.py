"""`tool_call`: JSON calls between `<tool_call>` tags, the format of Hermes and Qwen models."""

from collections.abc import Sequence
from typing import Any, cast

from agentgym.actions._json import blocks, read_object, write_object
from agentgym.actions.base import ParsedAction, checked, describe, render_thought, split_thought
from agentgym.tool import ToolCall, ToolSpec

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"


class ToolCallFormat:
    """`<tool_call>{"name": …, "arguments": {…}}</tool_call>`, once or several times a turn."""

    name = "tool_call"
    stop: tuple[str, ...] = ()

    def instructions(self, tools: Sequence[ToolSpec]) -> str:
        """Tell the model the shape; templates that know tools add the schemas themselves."""
        return (
            "Act by calling a tool. Write the call as JSON between tags:\n"
            f'{_OPEN}\n{{"name": <tool>, "arguments": <object>}}\n{_CLOSE}\n'
            f"Tools:\n{describe(tools)}"
        )

    def parse(self, text: str, tools: Sequence[ToolSpec]) -> ParsedAction:
        """Read every block; a block that is no call is the error."""
        thought, rest = split_thought(text)
        found, before, left_open = blocks(rest, _OPEN, _CLOSE)
        thought = thought or before.strip()
        if left_open:
            return ParsedAction(thought=thought, error=f"A {_OPEN} is not closed by {_CLOSE}.")
        if not found:
            return ParsedAction(
                thought=rest.strip(), error=f"No tool call: write one between {_OPEN} and {_CLOSE}."
            )
        calls: list[ToolCall] = []
        for block in found:
            call, problem = _read(block)
            if call is None:
                return ParsedAction(tuple(calls), thought, f"The tool call is {problem}.")
            calls.append(call)
        return checked(calls, thought, tools)

    def render(self, action: ParsedAction, tools: Sequence[ToolSpec]) -> str:
        """Write each call as a block on lines of its own."""
        del tools  # the shape of a call doesn't depend on them
        bodies = [{"name": call.name, "arguments": dict(call.arguments)} for call in action.calls]
        written = [f"{_OPEN}\n{write_object(body)}\n{_CLOSE}" for body in bodies]
        return render_thought(action.thought) + "\n".join(written)


def _read(block: str) -> tuple[ToolCall | None, str | None]:
    value, problem = read_object(block)
    if problem is not None:
        return None, problem
    name, arguments = value.get("name"), value.get("arguments", {})
    if isinstance(
        arguments, str
    ):  # some models write the arguments as a JSON string, as OpenAI's API does
        arguments, problem = read_object(arguments)
        if problem is not None:
            return None, f"wrong in its arguments: {problem}"
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None, 'not of the shape {"name": <tool>, "arguments": <object>}'
    return ToolCall(name, cast("dict[str, Any]", arguments)), None
