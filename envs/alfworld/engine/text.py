"""Texts that depend on a state only where they must.

A symbol of the grammar, once its variables are bound, is a tree: plain text is a string, a list is
its possible items behind bit masks, and a choice of rules is a list of masks. `words.py` makes the
trees. Saying one again is a dictionary look-up under the facts that it looks at.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from agentgym.errors import DataError

_MEMORY = 512  # spellings that one text remembers before it starts again


@dataclass(frozen=True, slots=True)
class Choice:
    """The first body whose condition applies; a condition is masks, any of which does."""

    options: tuple[tuple[tuple[int, ...], "Tree"], ...]
    symbol: str


@dataclass(frozen=True, slots=True)
class Items:
    """Bodies behind masks, one after the other or as an enumeration."""

    items: tuple[tuple[int, "Tree"], ...]
    words: tuple["Tree", "Tree", "Tree"] | None
    """Of an enumeration: what is said of nothing, between items, and before the last."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """One tree after the other."""

    parts: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class Unsayable:
    """What the grammar gets wrong: an error only where a player gets to it."""

    problem: str


Tree = str | Choice | Items | Sequence | Unsayable


def say(tree: Tree, state: int) -> str:
    """Return the text of a tree in a state.

    Raises:
        DataError: The grammar has nothing to say in this state.
    """
    match tree:
        case str():
            return tree
        case Sequence(parts):
            return "".join([say(part, state) for part in parts])
        case Choice(options, symbol):
            for masks, body in options:
                for mask in masks:
                    if state & mask == mask:
                        return say(body, state)
            raise DataError(f"the grammar has no rule for {symbol!r} that applies here")
        case Unsayable(problem):
            raise DataError(problem)
        case Items(items, words):
            said = [
                body if type(body) is str else say(body, state)
                for mask, body in items
                if state & mask == mask
            ]
            if words is None:
                return "".join(said)
            if len(said) > 1:
                head = say(words[1], state).join(said[:-1])
                return f"{head}{say(words[2], state)}{said[-1]}"
            return said[0] if said else say(words[0], state)


def looks_at(tree: Tree) -> int:
    """Return the facts that a tree looks at."""
    found = 0
    trees: Iterable[Tree] = ()
    match tree:
        case str() | Unsayable():
            pass
        case Sequence(parts):
            trees = parts
        case Choice(options):
            trees = [body for _, body in options]
            for masks, _ in options:
                for mask in masks:
                    found |= mask
        case Items(items, words):
            trees = [*(body for _, body in items), *(words or ())]
            for mask, _ in items:
                found |= mask
    for part in trees:
        found |= looks_at(part)
    return found


def sequence(trees: Iterable[Tree]) -> Tree:
    """Return trees one after the other, plain text merged."""
    parts: list[Tree] = []
    for tree in trees:
        for part in tree.parts if isinstance(tree, Sequence) else (tree,):
            last = parts[-1] if parts else None
            if isinstance(part, str) and isinstance(last, str):
                parts[-1] = last + part
            elif part != "":
                parts.append(part)
    if not parts:
        return ""
    return parts[0] if len(parts) == 1 else Sequence(tuple(parts))


@dataclass(slots=True)
class Saying:
    """A tree, and what it said before."""

    tree: Tree
    mask: int
    known: dict[int, str] = field(default_factory=dict[int, str])

    def text(self, state: int) -> str:
        """Return the text in a state."""
        key = state & self.mask
        said = self.known.get(key)
        if said is None:
            if len(self.known) >= _MEMORY:
                self.known.clear()
            said = self.known[key] = say(self.tree, state)
        return said
