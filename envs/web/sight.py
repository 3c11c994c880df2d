"""`Sight`: what a page's text shows, as data, for experts and judges."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Node:
    """A line of the text.

    Attributes:
        depth: How far it is indented.
        number: The element's; None for words that stand by themselves.
        role: What it is, such as "button"; "" for words.
        name: What it says.
        told: What else is said of it, such as "unchecked" or "value=…".
    """

    depth: int
    number: int | None
    role: str
    name: str
    told: tuple[str, ...]

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
    def of(cls, told: Sequence[Mapping[str, Any]]) -> "Sight":
        """Return what the page's script gives."""
        return cls(
            tuple(
                Node(
                    int(each["depth"]),
                    each.get("number"),
                    each.get("role", ""),
                    each["name"],
                    tuple(each["told"]),
                )
                for each in told
            )
        )

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
