"""Pages that draw: shapes, letters and boxes are told apart by kind, colour, size and place."""

import re
from collections.abc import Sequence

from agentgym.envs.web.miniwob_solvers.filling import entered
from agentgym.envs.web.miniwob_solvers.moves import Point, click, middle, submit
from agentgym.envs.web.sight import Node, Sight
from agentgym.tool import ToolCall

KINDS = {"rectangle": "rect", "circle": "circle", "triangle": "polygon"}
"""The role of a shape, by its name."""

_SMALL = 15  # pixels: what is large is 20 high and more, what is small 10 or so


def fits(node: Node, words: Sequence[str]) -> bool:
    """Whether something drawn is what all the words say, such as "large", "red", "circle"."""
    return all(_is(node, word) for word in words)


def _is(node: Node, word: str) -> bool:
    """Whether one word is true of something drawn, in the singular or in the plural."""
    if word in ("large", "small"):
        assert node.box is not None, "what is drawn lies somewhere"
        return (node.box[3] > _SMALL) == (word == "large")
    if word in (node.value_of("fill"), node.name):
        return True
    one = word[:-1] if len(word) > 1 and word.endswith("s") else word
    if one in KINDS:
        return node.role == KINDS[one]
    groups = {
        "item": True,
        "shape": node.role in KINDS.values(),
        "digit": node.name.isdigit(),
        "letter": node.name.isalpha(),
    }
    return groups.get(one, node.name != "" and node.name == one)


def drawn(sight: Sight) -> list[Node]:
    """Return all that is drawn in a colour."""
    return [node for node in sight if node.value_of("fill")]


def described(goal: str, sight: Sight) -> ToolCall | None:
    """Click something that is what the goal says."""
    match = re.match(r"Click on an? (.+)", goal)
    words = match[1].split() if match else []
    return click(next((node for node in drawn(sight) if fits(node, words)), None))


def counted(goal: str, sight: Sight) -> ToolCall | None:
    """Click the number of all that is what the goal says."""
    match = re.match(r"How many (.+) are there", goal)
    words = match[1].split() if match else []
    count = sum(fits(node, words) for node in drawn(sight))
    return click(sight.first("button", str(count)))


def ascending(_: str, sight: Sight) -> ToolCall | None:
    """Click one number after the other: once they are covered, their covers keep the order."""
    return click(next(iter(drawn(sight)), None))


def shades(goal: str, sight: Sight) -> ToolCall | None:
    """Select the boxes in which one colour prevails; what is selected has grown."""
    match = re.search(r"shades of (red|green|blue)", goal)
    boxes = [box for box in sight.all("clickable") if box.value_of("color")]
    if match is None or not boxes:
        return None
    least = min(_width(box) for box in boxes)
    for box in boxes:
        channels = [int(c) for c in re.findall(r"\d+", box.value_of("color") or "")[:3]]
        strongest = ("red", "green", "blue")[channels.index(max(channels))]
        if strongest == match[1] and _width(box) == least:
            return click(box)
    return submit(sight)


def _width(node: Node) -> int:
    assert node.box is not None, "boxes lie somewhere"
    return node.box[2]


def coordinate(goal: str, sight: Sight) -> ToolCall | None:
    """Click the point of a grid whose numbers stand at its axes."""
    match = re.search(r"\((-?\d),(-?\d)\)", goal)
    axes = sight.all("line")
    points = sight.all("circle")
    if match is None or len(axes) < 2 or not points:
        return None
    origin: Point = (middle(axes[1])[0], middle(axes[0])[1])
    columns = sorted({middle(point)[0] for point in points})
    step = columns[1] - columns[0]
    wanted = (origin[0] + int(match[1]) * step, origin[1] - int(match[2]) * step)

    def distance(node: Node) -> float:
        x, y = middle(node)
        return (x - wanted[0]) ** 2 + (y - wanted[1]) ** 2

    return click(min(points, key=distance))


def blocks(_: str, sight: Sight) -> ToolCall | None:
    """Enter how many boxes there are."""
    return entered(sight, sight.first("textbox"), str(len(sight.all("box"))))
