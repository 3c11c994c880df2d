"""The facts of a problem that never change, and the joins that bind variables against them.

Grounding asks one question over and over: which objects can stand for these variables, so that all
of these unchanging facts hold? The answer is a join, ordered greedily by how many rows each literal
would leave, with one hash index per literal and pattern of bound variables. A variable that no
unchanging fact binds ranges over all objects of its type.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter

from agentgym.envs.alfworld.engine.formula import Literal, Parameter
from agentgym.envs.alfworld.engine.pddl import Domain, Problem

Args = tuple[str, ...]
Row = tuple[str, ...]
Pick = Callable[[Row], Args]
"""Takes a literal's arguments from a row."""


def picker(positions: Sequence[int]) -> Pick:
    """Return a function that takes the given positions of a row, always as a tuple."""
    if len(positions) == 1:
        only = positions[0]
        return lambda row: (row[only],)
    if not positions:
        return lambda row: ()
    return itemgetter(*positions)  # pyright: ignore[reportReturnType]


class Relations:
    """Objects by type and unchanging facts by predicate.

    Args:
        domain: Where the types come from.
        problem: Where the objects and the initial facts come from.
        fluents: The predicates that actions change; every other one keeps its initial facts for
            good.
    """

    def __init__(self, domain: Domain, problem: Problem, fluents: Iterable[str]) -> None:
        self.fluents = frozenset(fluents)
        self.objects: dict[str, list[str]] = {type_: [] for type_ in domain.parents}
        above = {type_: list(ancestors(type_, domain.parents)) for type_ in domain.parents}
        for name, type_ in problem.types.items():
            for ancestor in above[type_]:
                self.objects[ancestor].append(name)
        self._members = {type_: frozenset(names) for type_, names in self.objects.items()}
        self.facts: dict[str, dict[Args, None]] = {
            predicate: facts
            for predicate, facts in problem.init.items()
            if predicate not in self.fluents
        }
        self.facts["="] = {(name, name): None for name in problem.types}
        for type_, names in self.objects.items():
            self.facts[f"type@{type_}"] = {(name,): None for name in names}
        self._indexes: dict[tuple[object, ...], dict[Args, list[Row]]] = {}

    def rows(self, parameters: Sequence[Parameter], literals: Iterable[Literal]) -> list[Row]:
        """Return every assignment of the parameters, in their order, that the literals allow.

        Args:
            parameters: The variables to bind; a type that does not exist has no objects.
            literals: Positive literals of predicates that never change; other literals don't
                belong.
        """
        types = {parameter.name: parameter.type for parameter in parameters}
        order: list[str] = []
        rows: list[Row] = [()]
        waiting = list(literals)
        while waiting and rows:
            literal = min(waiting, key=lambda literal: self._growth(literal, order, types))
            waiting.remove(literal)
            rows = self._join(rows, literal, order, types)
        for parameter in parameters:
            if parameter.name not in order:
                order.append(parameter.name)
                names = self.objects.get(parameter.type, [])
                rows = [(*row, name) for row in rows for name in names]
        pick = picker([order.index(parameter.name) for parameter in parameters])
        return [pick(row) for row in rows]

    def _growth(self, literal: Literal, order: list[str], types: dict[str, str]) -> float:
        size = len(self.facts.get(literal.predicate, ()))
        free = [arg for arg in literal.args if arg in types and arg not in order]
        if not free:
            return 0.0
        return size if len(free) == len(literal.args) else 1.0 + size**0.5

    def _join(
        self, rows: list[Row], literal: Literal, order: list[str], types: dict[str, str]
    ) -> list[Row]:
        keys: list[int] = []  # positions of the literal that are known before the join
        sources: list[int] = []  # where in the row to find them; constants are appended to it
        constants: list[str] = []
        fresh: list[str] = []
        for position, arg in enumerate(literal.args):
            if arg in order:
                keys.append(position)
                sources.append(order.index(arg))
            elif arg not in types:
                keys.append(position)
                sources.append(len(order) + len(constants))
                constants.append(arg)
            elif arg not in fresh:
                fresh.append(arg)
        index = self._index(literal, tuple(keys), tuple((arg, types[arg]) for arg in fresh))
        pick, extra = picker(sources), tuple(constants)
        order += fresh
        return [row + new for row in rows for new in index.get(pick(row + extra), ())]

    def _index(
        self, literal: Literal, keys: tuple[int, ...], fresh: tuple[tuple[str, str], ...]
    ) -> dict[Args, list[Row]]:
        signature = (literal.predicate, literal.args, keys, fresh)
        index = self._indexes.get(signature)
        if index is None:
            index = self._indexes[signature] = {}
            key = picker(keys)
            first = {arg: literal.args.index(arg) for arg, _ in fresh}
            repeats = [
                (position, first[arg])
                for position, arg in enumerate(literal.args)
                if arg in first and position != first[arg]
            ]
            value = picker(list(first.values()))
            members = [
                (first[arg], self._members.get(type_, frozenset[str]())) for arg, type_ in fresh
            ]
            for args in self.facts.get(literal.predicate, ()):
                if all(args[position] in allowed for position, allowed in members) and all(
                    args[one] == args[other] for one, other in repeats
                ):
                    index.setdefault(key(args), []).append(value(args))
        return index


def ancestors(type_: str, parents: Mapping[str, str | None]) -> Iterator[str]:
    """Yield a type and its supertypes, from the narrowest."""
    current: str | None = type_
    seen: set[str] = set()
    while current is not None and current in parents and current not in seen:
        seen.add(current)
        yield current
        current = parents[current]
