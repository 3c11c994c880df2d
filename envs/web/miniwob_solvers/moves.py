"""What experts are made of: moves, and what goals say."""

import re
from collections.abc import Callable

from agentgym.envs.web.sight import Node, Sight
from agentgym.tool import ToolCall

Expert = Callable[[str, Sight], ToolCall | None]
"""From the goal and what the page shows, what to do now; None where it is at a loss."""


def click(node: Node | None) -> ToolCall | None:
    """Click an element; None where there is none."""
    return None if node is None else ToolCall("click", {"element": node.number})


def fill(node: Node | None, text: str) -> ToolCall | None:
    """Fill a field; None where there is none."""
    return None if node is None else ToolCall("fill", {"element": node.number, "text": text})


def quoted(goal: str) -> list[str]:
    """Return what the goal quotes."""
    return re.findall(r'"([^"]*)"', goal)


def submit(sight: Sight) -> ToolCall | None:
    """Click the button that submits."""
    buttons = sight.all("button")
    named = [b for b in buttons if b.name.lower() in ("submit", "ok", "okay", "search", "login")]
    return click((named or buttons or [None])[0])
