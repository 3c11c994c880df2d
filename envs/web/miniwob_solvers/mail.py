"""Pages with mails: one of them is to be found, and marked, deleted, answered or forwarded."""

import re

from agentgym.envs.web.miniwob_solvers.moves import LOOK_AGAIN, classes, click, fill, quoted
from agentgym.envs.web.sight import Node, Sight
from agentgym.tool import ToolCall

_NAME = r"([A-Z][\w-]*)"
_SENDERS = (rf"\b(?:by|from) {_NAME}", rf"\b{_NAME} sent\b", rf"^{_NAME} wants his or her\b")
_RECIPIENTS = (rf"\bto {_NAME}", rf"^(?:Send|Give|Forward) {_NAME}", rf"^{_NAME} (?:wants|is)\b")


def icon(goal: str, sight: Sight) -> ToolCall | None:
    """Click the trash or the star of somebody's mail."""
    match = re.search(r"the email by ([\w-]+) and click the (trash|star) icon", goal)
    if match is None:
        return None
    sender = sight.first("text", match[1])
    return click(_icon(sight, sender, match[2]))


def _icon(sight: Sight, node: Node | None, kind: str) -> Node | None:
    """Return the first icon of a kind after a line."""
    following = sight.after(node) if node else ()
    return next((n for n in following if classes(n)[:1] == [kind]), None)


def written(goal: str, sight: Sight) -> ToolCall | None:
    """Answer somebody's mail with a text, or forward it to somebody."""
    text = quoted(goal)
    said = text[0] if text else _first(_RECIPIENTS, goal)
    sender = _first(_SENDERS, goal)
    if said is None or sender is None:
        return None
    send = next((n for n in sight if classes(n)[:1] in (["send-reply"], ["send-forward"])), None)
    if send is not None:
        field = sight.first("textbox")
        done = field is not None and field.value_of("value") == said
        return click(send) if done else fill(field, said)
    button = sight.first("text", "Reply" if text else "Forward")
    return click(button or sight.first("text", sender)) or LOOK_AGAIN


def _first(patterns: tuple[str, ...], goal: str) -> str | None:
    """Return what the first pattern that is found finds."""
    found = (re.search(pattern, goal) for pattern in patterns)
    return next((match[1] for match in found if match), None)


def asked(goal: str, sight: Sight) -> ToolCall | None:
    """Do with somebody's mail what the goal says."""
    return icon(goal, sight) if " icon " in goal else written(goal, sight)
