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
    if not kept:  # the first line alone is longer
        kept = text[:most]
    missing = text[len(kept) :].lstrip("\n")
    lines = missing.count("\n") + 1
    return f"{kept}\n({len(missing)} more characters, {lines} lines, are not shown; scroll.)"


def short(text: str, most: int = 500) -> str:
    """Return a text that is no page, such as a title, with its end left out where it is long."""
    return text if len(text) <= most else f"{text[:most]}…"
