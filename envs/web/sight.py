"""`Sight`: what a page shows, as data: for its text, for marks on its image, for experts."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

Box = tuple[int, int, int, int]
"""x and y of the upper left corner, width and height, in CSS pixels of the window."""


@dataclass(frozen=True, slots=True)
class Node:
    """A line of the text.

    Attributes:
        depth: How far it is indented.
        number: The element's; None for words that stand by themselves.
        role: What it is, such as "button"; "" for words.
        name: What it says.
        told: What else is said of it, such as "unchecked" or "value=…".
        box: Where it lies; None for words.
        control: Whether it can be acted on, and can be seen.
        foreign: Whether it is a frame of another origin, whose lines come from elsewhere.
        frame: What its number begins with: letters where it is in such a frame, else "".
    """

    depth: int
    number: int | None
    role: str
    name: str
    told: tuple[str, ...]
    box: Box | None = None
    control: bool = False
    foreign: bool = False
    frame: str = ""

    @property
    def label(self) -> str:
        """What stands in its brackets."""
        return f"{self.frame}{self.number}"

    def line(self, *, box: bool = False) -> str:
        """Return its line; with `box`, where it lies as well."""
        words = [json.dumps(self.name, ensure_ascii=False)] if self.name else []
        indent = "  " * self.depth
        if self.number is None:
            return indent + "".join(words)
        told = list(self.told)
        if box and self.box is not None:
            told.append(f"at {self.box}")
        return indent + " ".join([f"[{self.label}]", self.role, *words, *told])

    def value_of(self, key: str) -> str | None:
        """Return what stands behind "key=", quotes taken off; None where there is no such thing."""
        for each in self.told:
            if each.startswith(f"{key}="):
                return each[len(key) + 1 :].strip('"')
        return None


@dataclass(frozen=True, slots=True)
class Sight:
    """All lines, from the top."""

    nodes: tuple[Node, ...]

    @classmethod
    def of(cls, told: Sequence[Mapping[str, Any]], frame: str = "") -> Self:
        """Return what the page's script gives; `frame` is what the numbers begin with."""
        return cls(tuple(_node(each, frame) for each in told))

    def text(self, *, boxes: bool = False) -> str:
        """Return what the model reads."""
        return "\n".join(node.line(box=boxes) for node in self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def all(self, role: str | None = None, name: str | None = None) -> list[Node]:
        """Return the elements of a role that say exactly this; None is any."""
        return [
            node
            for node in self.nodes
            if node.number is not None
            and (role is None or node.role == role)
            and (name is None or node.name == name)
        ]

    def first(self, role: str | None = None, name: str | None = None) -> Node | None:
        """Return the first of `all`."""
        return next(iter(self.all(role, name)), None)

    def below(self, node: Node) -> list[Node]:
        """Return the lines that are in one."""
        at = self.nodes.index(node)
        found: list[Node] = []
        for each in self.nodes[at + 1 :]:
            if each.depth <= node.depth:
                break
            found.append(each)
        return found

    def after(self, node: Node) -> tuple[Node, ...]:
        """Return the lines that follow one."""
        return self.nodes[self.nodes.index(node) + 1 :]


def _node(told: Mapping[str, Any], frame: str) -> Node:
    x, y, width, height = told.get("box", (0, 0, 0, 0))
    return Node(
        depth=int(told["depth"]),
        number=told.get("number"),
        role=told.get("role", ""),
        name=told["name"],
        told=tuple(told["told"]),
        box=(x, y, width, height) if "box" in told else None,
        control=bool(told.get("control")),
        foreign=bool(told.get("foreign")),
        frame=frame,
    )
