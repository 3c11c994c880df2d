"""`react`: `Thought: …` then `Action: tool[text]`, the format of ReAct (arXiv 2210.03629).

An environment with a single tool that takes text needs no name and no brackets:
`Action: go to desk 1`. Tools that take more than one string get a JSON object between the brackets.
"""

import re
from collections.abc import Sequence

from agentgym.actions.base import (
    ParsedAction,
    checked,
    describe,
    read_arguments,
    split_thought,
    text_of,
    write_arguments,
)
from agentgym.tool import ToolCall, ToolSpec

_CALL = re.compile(r"\s*([A-Za-z_][\w.-]{0,79})\s*\[")


class React:
    """`Thought: …`, then `Action: …`; what a model invents after `Observation:` is cut off."""

    name = "react"
    stop: tuple[str, ...] = ("\nObservation:",)

    def instructions(self, tools: Sequence[ToolSpec]) -> str:
        """Tell the model the two lines."""
        shape = "Action: <action>" if _bare(tools) else "Action: <tool>[<argument>]"
        return (
            f"Answer each turn with two lines:\nThought: <what you think>\n{shape}\n"
            f"Tools:\n{describe(tools)}"
        )

    def parse(self, text: str, tools: Sequence[ToolSpec]) -> ParsedAction:
        """Read the first action; later ones answer observations that the model made up."""
        hidden, rest = split_thought(text)
        rest = rest.partition("\nObservation:")[0]
        head, marker, body = rest.partition("Action:")
        thought = head.strip().removeprefix("Thought:").strip() or hidden
        if not marker:
            return ParsedAction(
                thought=thought, error="No action: write a line that starts with 'Action:'."
            )
        body = body.partition("\nThought:")[0].strip()
        if _bare(tools):
            argument = tools[0].text_argument
            assert argument is not None
            return checked((ToolCall(tools[0].name, {argument: body}),), thought, tools)
        match = _CALL.match(body)
        if match is None or not body.endswith("]"):
            return ParsedAction(
                thought=thought, error="The action must be of the form tool[argument]."
            )
        name, inside = match.group(1), body[match.end() : -1]
        spec = next((tool for tool in tools if tool.name == name), None)
        if spec is None:
            return checked((ToolCall(name),), thought, tools)
        arguments, problem = read_arguments(spec, inside)
        if problem is not None:
            return ParsedAction(thought=thought, error=f"The argument of {name} is {problem}.")
        return checked((ToolCall(name, arguments),), thought, tools)

    def render(self, action: ParsedAction, tools: Sequence[ToolSpec]) -> str:
        """Write the thought and the first call: the format has one action a turn."""
        thought = f"Thought: {action.thought}\n" if action.thought else ""
        if not action.calls:
            return thought + "Action:"
        call = action.calls[0]
        body = write_arguments(call, tools)
        bare = _bare(tools) and text_of(call, tools) is not None
        return f"{thought}Action: {body if bare else f'{call.name}[{body}]'}"


def _bare(tools: Sequence[ToolSpec]) -> bool:
    return len(tools) == 1 and tools[0].takes_only_text
