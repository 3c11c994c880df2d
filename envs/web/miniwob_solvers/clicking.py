"""Pages on which something is to be found and clicked."""

import re

from agentgym.envs.web.miniwob_solvers.moves import click, quoted, submit
from agentgym.envs.web.sight import Node, Sight
from agentgym.tool import ToolCall


def only_button(_: str, sight: Sight) -> ToolCall | None:
    """Click the first button."""
    return click(sight.first("button"))


def named_button(goal: str, sight: Sight) -> ToolCall | None:
    """Click the button that the goal names."""
    wanted = quoted(goal) or re.findall(r"button (\w+)", goal)
    return click(sight.first("button", wanted[-1])) if wanted else None


def button_sequence(goal: str, sight: Sight) -> ToolCall | None:
    """Click one button, then the other."""
    first, second = sight.first("button", "ONE"), sight.first("button", "TWO")
    pressed = first is not None and "focused" in first.told
    return click(second if pressed else first)


def color(goal: str, sight: Sight) -> ToolCall | None:
    """Click the box of a colour."""
    match = re.search(r"Click on the (\w+) colored box", goal)
    boxes = sight.all("clickable")
    return click(next((b for b in boxes if match and b.value_of("color") == match[1]), None))


def dialog(_: str, sight: Sight) -> ToolCall | None:
    """Close the dialog."""
    return click(next((b for b in sight.all("button") if b.name == "Close" or not b.name), None))


def dialog_named(goal: str, sight: Sight) -> ToolCall | None:
    """Click the dialog's button that the goal names."""
    wanted = quoted(goal)
    name = {"x": "Close"}.get(wanted[-1], wanted[-1]) if wanted else ""
    return click(sight.first("button", name))


def link(goal: str, sight: Sight) -> ToolCall | None:
    """Click the words that the goal quotes."""
    wanted = quoted(goal)
    found = [n for n in sight if n.number is not None and wanted and n.name == wanted[0]]
    return click(found[0] if found else None)


def widget(goal: str, sight: Sight) -> ToolCall | None:
    """Click a widget of a kind."""
    wanted = quoted(goal)
    kind = wanted[0] if wanted else ""
    if kind not in ("text", "textarea"):
        return click(sight.first(kind))
    fields = [f for f in sight.all("textbox") if ("multiline" in f.told) == (kind == "textarea")]
    return click(fields[0] if fields else None)


def focus(_: str, sight: Sight) -> ToolCall | None:
    """Click the field."""
    return click(sight.first("textbox"))


def focus_nth(goal: str, sight: Sight) -> ToolCall | None:
    """Click the field of a number."""
    match, fields = re.search(r"(\d+)\w\w input", goal), sight.all("textbox")
    return click(fields[int(match[1]) - 1]) if match and int(match[1]) <= len(fields) else None


def tab(goal: str, sight: Sight) -> ToolCall | None:
    """Click a tab."""
    match = re.search(r"Click on (Tab #\d+)", goal)
    return click(sight.first("tab", match[1])) if match else None


def in_sections(goal: str, sight: Sight) -> ToolCall | None:
    """Open one tab or section after the other until the words are there, and click them.

    Which were open before can't be seen: the one after the open one is next.
    """
    wanted = quoted(goal)
    found = sight.all("text", wanted[0]) if wanted else []
    if found:
        return click(found[0])
    sections = sight.all("tab")
    at = next((i for i, s in enumerate(sections) if "expanded" in s.told), -1)
    return click(sections[at + 1] if at + 1 < len(sections) else None)


def section(_: str, sight: Sight) -> ToolCall | None:
    """Open the section and submit."""
    closed = [n for n in sight.all("tab") if n.name and "collapsed" in n.told]
    return click(closed[0]) if closed else submit(sight)


def shape(_: str, sight: Sight) -> ToolCall | None:
    """Say what the one shape is."""
    drawn = next((n for n in sight if n.value_of("fill")), None)
    if drawn is None:
        return None
    kinds = {"rect": "Rectangle", "circle": "Circle", "polygon": "Triangle"}
    written = "Number" if drawn.name.isdigit() else "Letter"
    return click(sight.first("button", kinds.get(drawn.role, written)))


def cheapest(goal: str, sight: Sight) -> ToolCall | None:
    """Book what costs or takes least, or most."""
    prices: list[tuple[float, Node]] = []
    minutes = 0
    by_time = re.search(r"duration|shortest", goal) is not None
    for node in sight:
        lasts = re.fullmatch(r"(?:(\d+)h)? ?(?:(\d+)m)?", node.name)
        if lasts and node.name:
            minutes = 60 * int(lasts[1] or 0) + int(lasts[2] or 0)
        costs = re.fullmatch(r"Book (?:flight )?for \$(\d+)", node.name)
        if costs and node.role == "button":
            prices.append((minutes if by_time else int(costs[1]), node))
    most = re.search(r"longest|priciest|most expensive", goal) is not None
    prices.sort(key=lambda each: each[0], reverse=most)
    return click(prices[0][1] if prices else None)


def scrolled(goal: str, sight: Sight) -> ToolCall | None:
    """Scroll the text to its end or its top, and submit.

    Where it stands can't be seen, but the keys that scroll it leave the focus there.
    """
    field = sight.first("textbox")
    if field is None or "focused" in field.told:
        return submit(sight)
    return ToolCall(
        "press",
        {"element": field.number, "keys": "Control+Home" if "top" in goal else "Control+End"},
    )
