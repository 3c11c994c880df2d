"""Pages with posts: icons below those of a user are to be clicked."""

import re

from agentgym.envs.web.miniwob_solvers.moves import classes, click, submit
from agentgym.envs.web.sight import Node, Sight
from agentgym.tool import ToolCall


def icon_of(goal: str, sight: Sight) -> ToolCall | None:
    """Click an icon of a user's post, or what the last of its icons opens."""
    match = re.match(r'For the user (@\S+), click on the "(.+)" button', goal)
    post = next(iter(_posts(sight, match[1])), []) if match else []
    if match is None:
        return None
    named = [node for node in post if node.role == "listitem" and node.name.startswith(match[2])]
    return click(_icon(post, match[2]) or next(iter(named), None) or _icon(post, "more"))


def icons_of(goal: str, sight: Sight) -> ToolCall | None:
    """Click an icon of some of a user's posts, or of all, and submit."""
    match = re.match(r'Click the "(\w+)" button on (all|\d+) posts? by (@\S+) and', goal)
    if match is None:
        return None
    icons = [_icon(post, match[1]) for post in _posts(sight, match[3])]
    for icon in icons if match[2] == "all" else icons[: int(match[2])]:
        if icon is not None and "active" not in classes(icon):
            return click(icon)
    return submit(sight)


def _posts(sight: Sight, user: str) -> list[list[Node]]:
    """Return the lines of each of a user's posts."""
    found: list[list[Node]] = []
    ours = False
    for node in sight:
        if node.name.startswith("@"):
            ours = node.name == user
            if ours:
                found.append([])
        elif ours:
            found[-1].append(node)
    return found


def _icon(post: list[Node], name: str) -> Node | None:
    """Return a post's icon of a name."""
    return next((node for node in post if classes(node)[:1] == [name.lower()]), None)
