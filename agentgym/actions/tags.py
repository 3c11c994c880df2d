"""`tags`: each tool has its own tag, as in `<code>print(1)</code>` and `<answer>42</answer>`."""

import re
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


class Tags:
    """`<tool>text</tool>`; a tool that takes more than one string gets a JSON object."""

    name = "tags"
    stop: tuple[str, ...] = ()

    def instructions(self, tools: Sequence[ToolSpec]) -> str:
        """List the tags."""
        lines = [
            f"- <{tool.name}>{_hole(tool)}</{tool.name}>: {tool.description}" for tool in tools
        ]
        return "Think first if you need to, then act between tags:\n" + "\n".join(lines)

    def parse(self, text: str, tools: Sequence[ToolSpec]) -> ParsedAction:
        """Read every tag of every tool, in the order of the text.

        What stands inside a tag is that tool's, whatever it looks like: code may print other tags.
        """
        thought, rest = split_thought(text)
        by_tag = {f"<{tool.name}>": tool for tool in tools}
        opening = re.compile("|".join(re.escape(tag) for tag in by_tag) or r"(?!)")
        calls: list[ToolCall] = []
        first = match = opening.search(rest)
        while match is not None:
            tool = by_tag[match.group()]
            closing = f"</{tool.name}>"
            end = rest.find(closing, match.end())
            if end < 0:
                error = f"{match.group()} is not closed by {closing}."
                return ParsedAction(tuple(calls), thought, error)
            arguments, problem = read_arguments(tool, _unfenced(rest[match.end() : end]))
            if problem is not None:
                error = f"What stands in {match.group()} is {problem}."
                return ParsedAction(tuple(calls), thought, error)
            calls.append(ToolCall(tool.name, arguments))
            match = opening.search(rest, end + len(closing))
        if first is None:
            tags = ", ".join(f"{tag}…</{tool.name}>" for tag, tool in by_tag.items())
            return ParsedAction(thought=rest.strip(), error=f"No action: write one of {tags}.")
        return checked(calls, thought or rest[: first.start()].strip(), tools)

    def render(self, action: ParsedAction, tools: Sequence[ToolSpec]) -> str:
        """Write each call between its tool's tags."""
        written = [
            f"<{call.name}>{write_arguments(call, tools)}</{call.name}>" for call in action.calls
        ]
        return render_thought(action.thought) + "\n".join(written)


def _hole(tool: ToolSpec) -> str:
    return tool.text_argument or "JSON object of the arguments"


def _unfenced(block: str) -> str:
    """Drop a Markdown fence around the whole block: models write one around code."""
    body = block.strip()
    if len(body) >= 6 and body.startswith("```") and body.endswith("```"):
        _, newline, inside = body[:-3].partition("\n")
        return inside.rstrip("\n") if newline else body
    return body
