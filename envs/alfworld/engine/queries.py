"""Queries over the facts, answered as TextWorld answers them.

Nested loops over sorted facts, subtype by subtype, and two variables never stand for the same
object: the order of every list in the game comes from that. Which facts there can be is known when
the game is loaded, so an answer carries the facts that it rests on, as a mask, in place of being
true or not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agentgym.envs.alfworld.engine.expression import Entity
from agentgym.envs.alfworld.engine.grammar import Placeholder, Query, QueryAtom
from agentgym.envs.alfworld.engine.ground import Grounding
from agentgym.envs.alfworld.engine.relations import ancestors
from agentgym.errors import DataError

Variable = tuple[str, str]
"""An object and the type as which it is bound.

TextWorld takes an operator's arguments to be of the types that the action declares, so an object of
a narrower type is not found again among the facts.
"""

Found = tuple[tuple[Variable, ...], int]
"""A fact that a query can meet: its arguments, and its bit (0 if it always holds)."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is known while a symbol is evaluated.

    Attributes:
        variables: The bound objects by name.
        mapping: The bound objects by name and type.
        state: The one state that the text is for, or None for a text of every state.
    """

    variables: Mapping[str, Entity]
    mapping: Mapping[Placeholder, Variable]
    state: int | None = None


class Queries:
    """Answers the queries of one game.

    Args:
        parents: Type → its supertype.
        grounding: Which facts there are.
        entities: What can be said of each object.
    """

    def __init__(
        self,
        parents: Mapping[str, str | None],
        grounding: Grounding,
        entities: Mapping[str, Entity],
    ) -> None:
        self._parents = parents
        self._grounding = grounding
        self._entities = entities
        self._variables = {id_: (id_, entity.type) for id_, entity in entities.items()}
        self._facts: dict[tuple[str, tuple[str, ...]], list[Found]] = {}
        self._indexes: dict[
            tuple[QueryAtom, tuple[int, ...]], dict[tuple[Variable, ...], list[Found]]
        ] = {}

    def findable(self, atoms: frozenset[QueryAtom], places: set[Placeholder]) -> frozenset[str]:
        """Return the objects that may come to stand for one of `places`."""
        return frozenset(
            args[position][0]
            for atom in atoms
            for position, place in enumerate(atom.placeholders)
            if place in places and all(type_ in self._parents for _, type_ in atom.placeholders)
            for args, _ in self._all(atom)
        )

    def answers(self, query: Query, scope: Scope) -> Iterator[tuple[int, Scope]]:
        """Yield each answer that a query may have, with the facts that it rests on, in order."""
        if not query:
            yield 0, scope
            return
        mapping = dict(scope.mapping)
        used = set(mapping.values())

        def search(depth: int, facts: int) -> Iterator[tuple[int, Scope]]:
            if depth == len(query):
                named = {name: self._entities[id_] for (name, _), (id_, _) in mapping.items()}
                yield facts, Scope({**scope.variables, **named}, dict(mapping), scope.state)
                return
            for args, fact in self._matching(query[depth], mapping):
                if scope.state is not None:
                    if scope.state & fact != fact:
                        continue
                    fact = 0
                fresh: list[Placeholder] = []
                for place, arg in zip(query[depth].placeholders, args, strict=True):
                    known = mapping.get(place)
                    if known is None and arg not in used:
                        mapping[place] = arg
                        used.add(arg)
                        fresh.append(place)
                    elif known != arg:
                        break
                else:
                    yield from search(depth + 1, facts | fact)
                for place in fresh:
                    used.discard(mapping.pop(place))

        yield from search(0, 0)

    def _matching(self, atom: QueryAtom, mapping: Mapping[Placeholder, Variable]) -> list[Found]:
        """Return the facts that agree with what is bound, in TextWorld's order."""
        bound = tuple(i for i, place in enumerate(atom.placeholders) if place in mapping)
        index = self._indexes.get((atom, bound))
        if index is None:
            index = self._indexes[(atom, bound)] = {}
            for args, fact in self._all(atom):
                index.setdefault(tuple([args[i] for i in bound]), []).append((args, fact))
        return index.get(tuple([mapping[atom.placeholders[i]] for i in bound]), [])

    def _all(self, atom: QueryAtom) -> list[Found]:
        types = tuple(type_ for _, type_ in atom.placeholders)
        found = self._facts.get((atom.predicate, types))
        if found is None:
            by_types: dict[tuple[str, ...], list[Found]] = {}
            for args, fact in self._grounding.spoken(atom.predicate):
                variables = tuple([self._variables[arg] for arg in args])
                signature = tuple([type_ for _, type_ in variables])
                by_types.setdefault(signature, []).append((variables, fact))
            found = [
                fact
                for signature in _subtypes(types, self._parents)
                for fact in sorted(by_types.get(signature, ()))
            ]
            self._facts[(atom.predicate, types)] = found
        return found


def _subtypes(
    types: tuple[str, ...], parents: Mapping[str, str | None]
) -> Iterator[tuple[str, ...]]:
    """Yield the types and what specialises them, as TextWorld walks them: some come up twice."""
    for type_ in types:
        if type_ not in parents:
            raise DataError(f"the grammar asks for objects of type {type_!r}, which does not exist")
    descendants: dict[str, list[str]] = {}
    for type_ in sorted(parents):
        for ancestor in ancestors(type_, parents):
            if ancestor != type_:
                descendants.setdefault(ancestor, []).append(type_)

    def narrower(one: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for position, type_ in enumerate(one):
            for narrow in descendants.get(type_, ()):
                yield (*one[:position], narrow, *one[position + 1 :])

    yield types
    seen: set[tuple[str, ...]] = set()
    waiting = list(narrower(types))
    for one in waiting:  # which grows meanwhile
        yield one
        fresh = [more for more in narrower(one) if more not in seen]
        seen.update(fresh)
        waiting += fresh
