"""How a model writes its actions, and how demonstrations are written: one file per format.

| format | what the model writes |
|---|---|
| `plain` | the text itself, given to the environment's first tool |
| `tags` | `<tool>text</tool>` |
| `tool_call` | `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, as Hermes and Qwen do |
| `react` | `Thought: …`, then `Action: tool[text]` |
| `call` | `tool("text", option=1)`, as in Python |

A format parses and renders. Both are total: any text parses to a `ParsedAction` (with `error` set
where it makes no sense), and any action renders to a text. A format of your own is an object with
these methods.
"""

from agentgym.actions.base import ActionFormat, ParsedAction
from agentgym.actions.call import Call
from agentgym.actions.plain import Plain
from agentgym.actions.react import React
from agentgym.actions.tags import Tags
from agentgym.actions.tool_call import ToolCallFormat
from agentgym.errors import UnknownNameError

__all__ = [
    "ActionFormat",
    "Call",
    "ParsedAction",
    "Plain",
    "Tags",
    "ToolCallFormat",
    "React",
    "action_format",
]

_FORMATS: dict[str, type[ActionFormat]] = {
    "plain": Plain,
    "tags": Tags,
    "tool_call": ToolCallFormat,
    "react": React,
    "call": Call,
}


def action_format(name: str) -> ActionFormat:
    """Return the format of that name.

    Raises:
        UnknownNameError: If there is none.
    """
    if name not in _FORMATS:
        raise UnknownNameError("action format", name, _FORMATS)
    return _FORMATS[name]()
