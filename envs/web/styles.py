"""How a page is written for the model: as a list of what is there, as HTML, as what has changed."""

import difflib
from enum import StrEnum


class Style(StrEnum):
    """A way of writing a page."""

    TREE = "tree"
    """A line per element: its number, role, name and state, indented by what holds what."""
    HTML = "html"
    """HTML without what can't be seen and without attributes that say nothing."""
    CHANGES = "changes"
    """`TREE` at first and on another page, then the lines that have changed."""


def changes(before: str, now: str) -> str:
    """Return which lines came ("+") and went ("-"); the shorter of that and the whole text."""
    old, new = before.splitlines(), now.splitlines()
    if old == new:
        return "Nothing has changed."
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    lines = ["What has changed:"]
    for kind, i, j, k, m in matcher.get_opcodes():
        if kind != "equal":
            lines += [f"- {line}" for line in old[i:j]]
            lines += [f"+ {line}" for line in new[k:m]]
    told = "\n".join(lines)
    return told if len(told) < len(now) else now


def cut(text: str, most: int) -> str:
    """Return the first lines that fit into so many characters, and how many are missing."""
    if len(text) <= most:
        return text
    kept = text[:most].rpartition("\n")[0]
    missing = text.count("\n") - kept.count("\n")
    return f"{kept}\n({missing} more lines are not shown; scroll, or act on what is.)"
