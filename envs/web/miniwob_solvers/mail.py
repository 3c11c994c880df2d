"""Pages with mails: one of them is to be found, and an icon of it to be clicked."""

import re

from agentgym.envs.web.miniwob_solvers.moves import click
from agentgym.envs.web.sight import Node, Sight
from agentgym.tool import ToolCall


def icon(goal: str, sight: Sight) -> ToolCall | None:
    """Click the trash or the star of somebody's mail."""
    match = re.search(r"the email by (\w+) and click the (trash|star) icon", goal)
    if match is None:
        return None
    sender = sight.first("text", match[1])
    return click(_icon(sight, sender, match[2]))


def _icon(sight: Sight, node: Node | None, kind: str) -> Node | None:
    """Return the first icon of a kind after a line."""
    following = sight.after(node) if node else ()
    return next((n for n in following if (n.value_of("class") or "").split()[:1] == [kind]), None)
