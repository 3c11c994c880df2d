"""Words for a ground game: each rule is evaluated down to what can still change.

Which objects a query can find is known when the game is loaded; only whether their facts hold is
not. So a symbol with its variables bound is evaluated once into a small tree, where plain text is a
string, a list is its possible items in TextWorld's order, each behind a bit mask, and a choice of
rules is a list of masks. Saying it again is a dictionary look-up on the facts that the tree looks
at.

TextWorld answers a query by nested loops over sorted facts, subtype by subtype, and two variables
never stand for the same object; the order of every list in the game comes from that.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from agentgym.envs.alfworld.engine.domain import Domain
from agentgym.envs.alfworld.engine.grammar import (
    Call,
    Each,
    Entity,
    Placeholder,
    Query,
    Symbol,
    Text,
    Value,
    evaluate,
)
from agentgym.envs.alfworld.engine.ground import Grounding
from agentgym.envs.alfworld.engine.relations import Args
from agentgym.errors import DataError

_MEMORY = 512  # spellings that one tree remembers before it starts again


@dataclass(frozen=True, slots=True)
class Scope:
    """What is bound while a symbol is evaluated."""

    variables: Mapping[str, Entity]
    mapping: Mapping[Placeholder, str]


@dataclass(slots=True)
class Choice:
    """The first body whose condition applies; a condition is masks, any of which does."""

    options: list[tuple[list[int], "Tree"]]
    symbol: str


@dataclass(slots=True)
class Items:
    """Bodies behind masks, joined as an enumeration where `words` has the three words for it."""

    items: list[tuple[int, "Tree"]]
    words: tuple["Tree", "Tree", "Tree"] | None
    """What an empty list says, what separates items, what comes before the last."""


@dataclass(slots=True)
class Sequence:
    """One tree after another."""

    parts: list["Tree"]


Tree = str | Choice | Items | Sequence


def say(tree: Tree, state: int) -> str:
    """Return the text of a tree in a state."""
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


def mask(tree: Tree) -> int:
    """Return the facts that a tree looks at."""
    match tree:
        case str():
            return 0
        case Sequence(parts):
            trees: Iterable[Tree] = parts
            found = 0
        case Choice(options):
            trees = [body for _, body in options]
            found = 0
            for masks, _ in options:
                for one in masks:
                    found |= one
        case Items(items, words):
            trees = [*(body for _, body in items), *(words or ())]
            found = 0
            for one, _ in items:
                found |= one
    for part in trees:
        found |= mask(part)
    return found


@dataclass(slots=True)
class Saying:
    """A tree and what it said before."""

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


class Words:
    """Evaluates the symbols of one game.

    Args:
        domain: Where the rules come from.
        grounding: Which facts there are.
        entities: What can be said of each object.
    """

    def __init__(
        self, domain: Domain, grounding: Grounding, entities: Mapping[str, Entity]
    ) -> None:
        self._rules = domain.grammar.rules
        self._grounding = grounding
        self._entities = entities
        self._parents = domain.rules.pddl.parents
        self._candidates: dict[tuple[str, tuple[str, ...]], list[tuple[Args, int]]] = {}
        self._sayings: dict[object, Saying] = {}
        self._needs: dict[str, tuple[frozenset[str], frozenset[Placeholder]]] = {}

    def saying(self, body: tuple[Symbol, ...], scope: Scope) -> Saying:
        """Evaluate a template in a scope; symbols that are alike in what they say are shared."""
        names: frozenset[str] = frozenset()
        places: frozenset[Placeholder] = frozenset()
        for symbol in body:
            more, others = self._uses(symbol, ())
            names, places = names | more, places | others
        bound = frozenset(scope.mapping.items())
        used = frozenset(item for item in bound if item[0] in places)
        # A bound object is out of bounds for every other variable, whether it is mentioned or not.
        key = (
            body,
            used,
            frozenset((name, scope.variables[name].id) for name in names & scope.variables.keys()),
            self._in_the_way({value for _, value in bound - used}, places),
        )
        saying = self._sayings.get(key)
        if saying is None:
            tree = self._body(body, scope)
            saying = self._sayings[key] = Saying(tree, mask(tree))
        return saying

    def _in_the_way(self, values: set[str], places: frozenset[Placeholder]) -> frozenset[str]:
        types = {type_ for _, type_ in places}
        return frozenset(
            value
            for value in values
            if not types.isdisjoint(_lineage(self._entities[value].type, self._parents))
        )

    def _uses(
        self, symbol: Symbol, path: tuple[str, ...]
    ) -> tuple[frozenset[str], frozenset[Placeholder]]:
        """Return the variable names and the placeholders that a symbol may touch."""
        match symbol:
            case Text():
                return frozenset(), frozenset()
            case Value(source):
                return frozenset(_words(source)), frozenset()
            case Each(body, query, listed):
                names, places = self._uses(body, path)
                if listed:
                    for word in _LIST:
                        more, others = self._uses(Call(word), path)
                        names, places = names | more, places | others
                return names, places | _places(query)
            case Call(name):
                if name in path:
                    raise DataError(f"the grammar's symbol {name!r} calls itself")
                found = self._needs.get(name)
                if found is None:
                    names, places = frozenset[str](), frozenset[Placeholder]()
                    for rule in self._rules.get(name, ()):
                        places |= _places(rule.condition)
                        for part in rule.body:
                            more, others = self._uses(part, (*path, name))
                            names, places = names | more, places | others
                    found = self._needs[name] = (names, places)
                return found

    def _body(self, body: tuple[Symbol, ...], scope: Scope) -> Tree:
        return _sequence([self._symbol(symbol, scope) for symbol in body])

    def _symbol(self, symbol: Symbol, scope: Scope) -> Tree:
        match symbol:
            case Text(text):
                return text
            case Value(source):
                return evaluate(source, scope.variables)
            case Call(name):
                return self._call(name, scope)
            case Each(body, query, listed):
                items = [
                    (found, self._symbol(body, inner))
                    for found, inner in self._answers(query, scope)
                ]
                if not listed:
                    if all(found == 0 for found, _ in items):
                        return _sequence([tree for _, tree in items])
                    return Items(items, None)
                empty, separator, last = (self._call(word, scope) for word in _LIST)
                words = (empty, separator, last)
                if all(found == 0 and isinstance(tree, str) for found, tree in items) and all(
                    isinstance(word, str) for word in words
                ):
                    return say(Items(items, words), 0)
                return Items(items, words)

    def _call(self, name: str, scope: Scope) -> Tree:
        rules = self._rules.get(name)
        if rules is None:
            raise DataError(f"the grammar has no symbol {name!r}, which one of its rules calls")
        options: list[tuple[list[int], Tree]] = []
        for rule in rules:
            masks = [found for found, _ in self._answers(rule.condition, scope)]
            if 0 in masks:
                body = self._body(rule.body, scope)
                if not options:
                    return body
                options.append(([0], body))
                break
            if masks:
                options.append((masks, self._body(rule.body, scope)))
        return Choice(options, name)

    def _answers(self, query: Query, scope: Scope) -> Iterator[tuple[int, Scope]]:
        """Yield each answer that a query may have, with the facts that it rests on, in order."""
        mapping = dict(scope.mapping)
        used = set(mapping.values())

        def search(depth: int, facts: int) -> Iterator[tuple[int, Scope]]:
            if depth == len(query):
                yield (
                    facts,
                    Scope(
                        {
                            **scope.variables,
                            **{name: self._entities[id_] for (name, _), id_ in mapping.items()},
                        }
                        if query
                        else scope.variables,
                        dict(mapping),
                    ),
                )
                return
            atom = query[depth]
            types = tuple(type_ for _, type_ in atom.placeholders)
            for args, fact in self._facts(atom.predicate, types):
                fresh: list[Placeholder] = []
                for placeholder, arg in zip(atom.placeholders, args, strict=True):
                    known = mapping.get(placeholder)
                    if known is None and arg not in used:
                        mapping[placeholder] = arg
                        used.add(arg)
                        fresh.append(placeholder)
                    elif known != arg:
                        break
                else:
                    yield from search(depth + 1, facts | fact)
                for placeholder in fresh:
                    used.discard(mapping.pop(placeholder))

        yield from search(0, 0)

    def _facts(self, predicate: str, types: tuple[str, ...]) -> list[tuple[Args, int]]:
        """Return the facts that a query atom can meet, in TextWorld's order."""
        found = self._candidates.get((predicate, types))
        if found is None:
            by_types: dict[tuple[str, ...], list[tuple[Args, int]]] = {}
            for args, fact in self._grounding.spoken(predicate):
                signature = tuple(self._entities[arg].type for arg in args)
                by_types.setdefault(signature, []).append((args, fact))
            found = [
                fact
                for signature in _subtypes(types, self._parents)
                for fact in sorted(by_types.get(signature, ()))
            ]
            self._candidates[(predicate, types)] = found
        return found


_LIST = ("list_empty", "list_separator", "list_last_separator")


def _sequence(trees: list[Tree]) -> Tree:
    parts: list[Tree] = []
    for tree in trees:
        more = tree.parts if isinstance(tree, Sequence) else [tree]
        for part in more:
            if isinstance(part, str) and parts and isinstance(parts[-1], str):
                parts[-1] += part
            elif part != "":
                parts.append(part)
    if not parts:
        return ""
    return parts[0] if len(parts) == 1 else Sequence(parts)


def _places(query: Query) -> frozenset[Placeholder]:
    return frozenset(place for atom in query for place in atom.placeholders)


def _words(source: str) -> set[str]:
    """Return every identifier of an expression: at least the variables that it uses."""
    return set("".join(c if c.isalnum() or c == "_" else " " for c in source).split())


def _lineage(type_: str, parents: Mapping[str, str | None]) -> set[str]:
    """Return a type and its supertypes."""
    found: set[str] = set()
    current: str | None = type_
    while current is not None and current not in found:
        found.add(current)
        current = parents.get(current)
    return found


def _subtypes(
    types: tuple[str, ...], parents: Mapping[str, str | None]
) -> Iterator[tuple[str, ...]]:
    """Yield the types and all that specialise them, breadth first, as TextWorld walks them."""
    for type_ in types:
        if type_ not in parents:
            raise DataError(f"the grammar asks for objects of type {type_!r}, which does not exist")
    children: dict[str, list[str]] = {}
    for child, parent in parents.items():
        if parent is not None and parent != child:
            children.setdefault(parent, []).append(child)

    def narrower(one: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for position, type_ in enumerate(one):
            for child in sorted(children.get(type_, ())):
                yield (*one[:position], child, *one[position + 1 :])

    yield types
    seen: set[tuple[str, ...]] = set()
    queue = list(narrower(types))
    for item in queue:  # grows while it is walked
        yield item
        for more in narrower(item):
            if more not in seen:
                seen.add(more)
                queue.append(more)
