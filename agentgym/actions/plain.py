"""`plain`: the model's whole text is the argument of the environment's first tool."""

import json
from collections.abc import Sequence

from agentgym.actions.base import ParsedAction, checked, render_thought, split_thought, text_of
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
        argument = tools[0].text_argument if tools else None
        if argument is None:
            error = (
                "The format 'plain' needs a first tool that takes one string; use 'tool_call' here."
            )
            return ParsedAction(thought=thought, error=error)
        return checked((ToolCall(tools[0].name, {argument: rest.strip()}),), thought, tools)

    def render(self, action: ParsedAction, tools: Sequence[ToolSpec]) -> str:
        """Write the first call's text; a call of another shape is written as JSON."""
        body = ""
        if action.calls:
            text = text_of(action.calls[0], tools)
            body = json.dumps(dict(action.calls[0].arguments)) if text is None else text
        return render_thought(action.thought) + body
