"""What experts are made of: moves, and what goals say."""

import re
from collections.abc import Callable

from agentgym.envs.web.sight import Node, Sight
from agentgym.tool import ToolCall

Expert = Callable[[str, Sight], ToolCall | None]
"""From the goal and what the page shows, what to do now; None where it is at a loss."""

LOOK_AGAIN = ToolCall("noop", {})
"""What to do while a page is about to show something else."""

Point = tuple[float, float]
"""In CSS pixels from the page's upper left corner."""


def click(node: Node | None) -> ToolCall | None:
    """Click an element; None where there is none."""
    return None if node is None else ToolCall("click", {"element": node.number})


def fill(node: Node | None, text: str) -> ToolCall | None:
    """Fill a field; None where there is none."""
    return None if node is None else ToolCall("fill", {"element": node.number, "text": text})


def press(node: Node | None, keys: str) -> ToolCall | None:
    """Press keys in an element; None where there is none."""
    return None if node is None else ToolCall("press", {"element": node.number, "keys": keys})


def drag(start: Point, end: Point) -> ToolCall:
    """Drag from one point to another."""
    (from_x, from_y), (to_x, to_y) = start, end
    points = {"from_x": from_x, "from_y": from_y, "to_x": to_x, "to_y": to_y}
    return ToolCall("mouse_drag_and_drop", points)


def drag_onto(node: Node, onto: Node) -> ToolCall:
    """Drag one element onto another."""
    return ToolCall("drag_and_drop", {"element": node.number, "onto": onto.number})


def middle(node: Node) -> Point:
    """Return the middle of an element."""
    assert node.box is not None, "only words have no box"
    left, top, width, height = node.box
    return left + width / 2, top + height / 2


def holds(outer: Node, inner: Node) -> bool:
    """Whether the middle of one element is in another."""
    assert outer.box is not None, "only words have no box"
    (x, y), (left, top, width, height) = middle(inner), outer.box
    return left < x < left + width and top < y < top + height


def encloses(outer: Node, inner: Node) -> bool:
    """Whether all of one element is in another."""
    assert outer.box is not None, "only words have no box"
    assert inner.box is not None, "only words have no box"
    spans = zip(outer.box[:2], outer.box[2:], inner.box[:2], inner.box[2:], strict=True)
    return all(at < start and start + size < at + whole for at, whole, start, size in spans)


def classes(node: Node) -> list[str]:
    """Return the classes that an icon shows."""
    return (node.value_of("class") or "").split()


def offers(sight: Sight) -> list[Node]:
    """Return the words of the items that a field offers."""
    return [node for item in sight.all("listitem") for node in sight.below(item)]


def quoted(goal: str) -> list[str]:
    """Return what the goal quotes."""
    return re.findall(r'"([^"]*)"', goal)


def submit(sight: Sight) -> ToolCall | None:
    """Click the button that submits."""
    buttons = sight.all("button")
    named = [b for b in buttons if b.name.lower() in ("submit", "ok", "okay", "search", "login")]
    return click((named or buttons or [None])[0])
