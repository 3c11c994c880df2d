"""`tags`: each tool has its own tag, as in `<code>print(1)</code>` and `<answer>42</answer>`."""

from collections.abc import Sequence

from agentgym.actions._json import blocks, read_object, write_object
from agentgym.actions.base import ParsedAction, checked, render_thought, split_thought, text_of
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
        """Read every tag of every tool, in the order of the text."""
        thought, rest = split_thought(text)
        placed: list[tuple[int, ToolCall]] = []
        first = len(rest)
        for tool in tools:
            opening, closing = f"<{tool.name}>", f"</{tool.name}>"
            found, before, left_open = blocks(rest, opening, closing)
            if left_open:
                return ParsedAction(thought=thought, error=f"{opening} is not closed by {closing}.")
            position = len(before)
            first = min(first, position)
            for block in found:
                call, problem = _read(tool, block)
                if call is None:
                    return ParsedAction(
                        thought=thought, error=f"What stands in {opening} is {problem}."
                    )
                placed.append((position, call))
                position = rest.find(opening, position + len(opening) + len(block) + len(closing))
        if not placed:
            tags = ", ".join(f"<{tool.name}>…</{tool.name}>" for tool in tools)
            return ParsedAction(thought=rest.strip(), error=f"No action: write one of {tags}.")
        placed.sort(key=lambda item: item[0])
        return checked([call for _, call in placed], thought or rest[:first].strip(), tools)

    def render(self, action: ParsedAction, tools: Sequence[ToolSpec]) -> str:
        """Write each call between its tool's tags."""
        written: list[str] = []
        for call in action.calls:
            text = text_of(call, tools)
            body = write_object(dict(call.arguments)) if text is None else text
            written.append(f"<{call.name}>{body}</{call.name}>")
        return render_thought(action.thought) + "\n".join(written)


def _hole(tool: ToolSpec) -> str:
    return tool.text_argument or "JSON object of the arguments"


def _read(tool: ToolSpec, block: str) -> tuple[ToolCall | None, str | None]:
    if tool.text_argument is not None:
        return ToolCall(tool.name, {tool.text_argument: _unfenced(block)}), None
    arguments, problem = read_object(block)
    return (None, problem) if problem is not None else (ToolCall(tool.name, arguments), None)


def _unfenced(block: str) -> str:
    """Drop a Markdown fence around the whole block: models write one around code."""
    body = block.strip()
    if len(body) >= 6 and body.startswith("```") and body.endswith("```"):
        _, newline, inside = body[:-3].partition("\n")
        return inside.rstrip("\n") if newline else body
    return body
