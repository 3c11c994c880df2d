"""`plain`: the model's whole text is the argument of the environment's first tool."""

from collections.abc import Sequence

from agentgym.actions.base import (
    ParsedAction,
    checked,
    read_arguments,
    render_thought,
    split_thought,
    write_arguments,
)
from agentgym.tool import ToolCall, ToolSpec


class Plain:
    """The text itself is the action; a `<think>…</think>` before it is set apart."""

    name = "plain"
    stop: tuple[str, ...] = ()

    def instructions(self, tools: Sequence[ToolSpec]) -> str:
        """Tell the model to write nothing but the action."""
        about = tools[0].description if tools else ""
        return f"Write one action per turn and nothing else. {about}".strip()

    def parse(self, text: str, tools: Sequence[ToolSpec]) -> ParsedAction:
        """Read the text as the one argument of the first tool."""
        thought, rest = split_thought(text)
        if not tools or tools[0].text_argument is None:
            error = (
                "The format 'plain' needs a first tool that takes one string; use 'tool_call' here."
            )
            return ParsedAction(thought=thought, error=error)
        arguments, _ = read_arguments(tools[0], rest.strip())
        return checked((ToolCall(tools[0].name, arguments),), thought, tools)

    def render(self, action: ParsedAction, tools: Sequence[ToolSpec]) -> str:
        """Write the first call's text; a call of another shape is written as JSON."""
        body = write_arguments(action.calls[0], tools) if action.calls else ""
        return render_thought(action.thought) + body
