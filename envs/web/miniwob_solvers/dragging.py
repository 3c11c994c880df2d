"""Pages on which something is to be dragged: boxes, shapes, items of lists, and over words."""

import re
from math import copysign

from agentgym.envs.web.miniwob_solvers.drawn import KINDS, drawn, fits
from agentgym.envs.web.miniwob_solvers.moves import (
    Point,
    click,
    drag,
    drag_onto,
    encloses,
    holds,
    middle,
    submit,
)
from agentgym.envs.web.sight import Node, Sight
from agentgym.tool import ToolCall

_LEFT, _TOP, _RIGHT = 2, 54, 158  # the borders of a page, below what it asks for
_NEAR = 6  # pixels: what is to be at a border is, though it may not follow the pointer wholly


def small_into_large(_: str, sight: Sight) -> ToolCall | None:
    """Drag the small box into the large one."""
    small, large = sight.first("text", "s"), sight.first("text", "L")
    if small is None or large is None:
        return None
    return submit(sight) if encloses(large, small) else drag_onto(small, large)


def to_border(goal: str, sight: Sight) -> ToolCall | None:
    """Drag what is drawn all the way in a direction: that it was dragged can then be seen."""
    match = re.search(r"(left|right|up|down) then press", goal)
    shape, button = next(iter(drawn(sight)), None), sight.first("button")
    if match is None or shape is None or button is None or button.box is None:
        return None
    x, y = middle(shape)
    ends: dict[str, Point] = {
        "left": (_LEFT, y),
        "right": (_RIGHT, y),
        "up": (x, _TOP),
        "down": (x, button.box[1] - _NEAR),
    }
    to_x, to_y = ends[match[1]]
    if abs(to_x - x) <= _NEAR and abs(to_y - y) <= _NEAR:
        return submit(sight)
    return drag((x, y), (to_x, to_y))


def into_box(goal: str, sight: Sight) -> ToolCall | None:
    """Drag the shapes of a kind into the box."""
    match = re.match(r"Drag all (\w+) into the black box", goal)
    boxes, shapes = _boxes_and_shapes(sight)
    if match is None or not boxes:
        return None
    for shape in shapes:
        if fits(shape, [match[1]]) and not holds(boxes[0], shape):
            return drag(middle(shape), middle(boxes[0]))
    return submit(sight)


def into_boxes(goal: str, sight: Sight) -> ToolCall | None:
    """Drag the shapes of a kind or a colour into the left box, and the others into the right."""
    match = re.match(r"Drag all (\w+)(?: shapes)? into the left box", goal)
    boxes, shapes = _boxes_and_shapes(sight)
    if match is None or len(boxes) != 2:
        return None
    for shape in shapes:
        box = boxes[0 if fits(shape, [match[1]]) else 1]
        if not holds(box, shape):
            return drag(middle(shape), middle(box))
    return submit(sight)


def _boxes_and_shapes(sight: Sight) -> tuple[list[Node], list[Node]]:
    shapes = [node for node in sight if node.role in KINDS.values()]
    boxes = [node for node in shapes if node.value_of("fill") is None]
    return sorted(boxes, key=middle), [node for node in shapes if node not in boxes]


_STEPS = {"up": -1, "down": 1}
_PAST = 6  # pixels


def item(goal: str, sight: Sight) -> ToolCall | None:
    """Drag an item of a list to a position."""
    match = re.match(r"Drag (\S+) (?:to the )?(\w+)", goal)
    items, names = _items(sight)
    if match is None or match[1] not in names:
        return None
    at, where = names.index(match[1]), match[2]
    if where in _STEPS:
        to = at + _STEPS[where]
    elif where in ("top", "bottom"):
        to = 0 if where == "top" else len(items) - 1
    else:
        to = int(where[:-2]) - 1
    return _moved(items[at], items[to])


def item_in_grid(goal: str, sight: Sight) -> ToolCall | None:
    """Drag an item of a grid of three columns to a position."""
    match = re.match(r"Drag (\S+) (.+)\.", goal)
    items, names = _items(sight)
    if match is None or match[1] not in names:
        return None
    at, where = names.index(match[1]), match[2].split()
    rows, columns = {"top": 0, "bottom": 2}, {"left": 0, "right": 2}
    if "by" in where:
        to = at + {"up": -3, "down": 3, "left": -1, "right": 1}[where[0]]
    else:
        row = next((rows[word] for word in where if word in rows), 1)
        column = next((columns[word] for word in where if word in columns), 1)
        to = 3 * row + column
    # What comes from the left is put behind the item that it is over, also on its way up.
    behind = to < at and to % 3 > at % 3
    return _moved(items[at], items[to], over=items[to - 1] if behind else None)


def sorted_numbers(_: str, sight: Sight) -> ToolCall | None:
    """Drag the lowest of what isn't sorted yet to its place."""
    items, names = _items(sight)
    numbers = [int(name) for name in names]
    for at, number in enumerate(sorted(numbers)):
        if numbers[at] != number:
            return _moved(items[numbers.index(number, at)], items[at])
    return submit(sight)


def _moved(item: Node, place: Node, over: Node | None = None) -> ToolCall:
    """Drag an item to the place of another, a little past its middle: only then it makes room.

    Args:
        item: The item.
        place: Where it is to be.
        over: What it is dragged over, where that isn't the place.
    """
    (x, y), (to_x, to_y) = middle(item), middle(place)
    across, down = (copysign(_PAST, way) if way else 0.0 for way in (to_x - x, to_y - y))
    end_x, end_y = middle(over or place)
    return drag((x, y), (end_x + across, end_y + down))


def _items(sight: Sight) -> tuple[list[Node], list[str]]:
    """Return the items of a list, and what they say."""
    items = sight.all("listitem")
    return items, [sight.below(item)[0].name for item in items]


def highlighted(goal: str, sight: Sight) -> ToolCall | None:
    """Drag from the first to the last word of a paragraph, and submit."""
    which = re.search(r"the (\d)\w\w paragraph", goal)
    paragraphs = sight.all("text")
    at = int(which[1]) - 1 if which else 0
    if at >= len(paragraphs) or (box := paragraphs[at].box) is None:
        return None
    if paragraphs[at].value_of("selection") == paragraphs[at].name:
        return submit(sight)
    left, top, width, height = box
    inset = 4  # pixels, which is in the first and in the last line
    return drag((left + 0.5, top + inset), (left + width - 0.5, top + height - inset))


def line(goal: str, sight: Sight) -> ToolCall | None:
    """Draw a line from the dot on, towards where there is most room."""
    dot, canvas = next(iter(drawn(sight)), None), sight.first("clickable")
    if dot is None or canvas is None:
        return None
    if sight.first("path") is not None:
        return click(sight.first("button"))
    (x, y), (middle_x, middle_y) = middle(dot), middle(canvas)
    way = 3  # pixels before the dot, so that the line runs through it
    length = 40
    if "horizontal" in goal:
        sign = 1 if x < middle_x else -1
        return drag((x - sign * way, y), (x + sign * length, y))
    sign = 1 if y < middle_y else -1
    return drag((x, y - sign * way), (x, y + sign * length))
