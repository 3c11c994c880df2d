"""From the grammar's rules to texts: binds variables and answers queries, once per game.

Which objects a query can find is known when the game is loaded; only whether their facts hold is
not. So everything else about a text is settled the first time it is needed, and shared by all
operators that would say the same: what you see in the fridge does not depend on where you came
from.

TextWorld answers a query by nested loops over sorted facts, subtype by subtype, and two variables
never stand for the same object; the order of every list in the game comes from that.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agentgym.envs.alfworld.engine.formula import Parameter
from agentgym.envs.alfworld.engine.grammar import (
    Call,
    Each,
    Entity,
    Placeholder,
    Query,
    QueryAtom,
    Rule,
    Symbol,
    Text,
    Value,
    evaluate,
    identifiers,
)
from agentgym.envs.alfworld.engine.ground import Grounding
from agentgym.envs.alfworld.engine.relations import Args, ancestors
from agentgym.envs.alfworld.engine.text import Choice, Items, Saying, Tree, looks_at, say, sequence
from agentgym.errors import DataError

_LIST = (Call("list_empty"), Call("list_separator"), Call("list_last_separator"))

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


@dataclass(frozen=True, slots=True)
class _Uses:
    """What a symbol may touch: variable names of its expressions, and atoms of its queries."""

    names: frozenset[str] = frozenset()
    atoms: frozenset[QueryAtom] = frozenset()

    def __or__(self, other: "_Uses") -> "_Uses":
        return _Uses(self.names | other.names, self.atoms | other.atoms)


class Phrase:
    """What the instances of one action say with one template.

    Args:
        words: The game's words.
        body: The template.
        parameters: The action's parameters.
    """

    def __init__(
        self, words: "Words", body: tuple[Symbol, ...], parameters: Sequence[Parameter]
    ) -> None:
        self._words = words
        self._body = body
        self._places: list[Placeholder] = [(p.name[1:], p.type) for p in parameters]
        uses = _Uses()
        for symbol in body:
            uses |= words.uses(symbol)
        asked = {place for atom in uses.atoms for place in atom.placeholders}
        touched = [place[0] in uses.names or place in asked for place in self._places]
        self._touched = [i for i, is_touched in enumerate(touched) if is_touched]
        self._others = [i for i, is_touched in enumerate(touched) if not is_touched]
        # Two variables never stand for the same object, even where a text mentions only one:
        # so it matters which objects a query could find otherwise.
        self._findable = words.findable(uses.atoms, asked.difference(self._places))
        self._sayings: dict[Args, Saying] = {}

    def saying(self, args: Args) -> Saying:
        """Return the text for the instance with these arguments."""
        key = tuple([args[i] for i in self._touched])
        if self._findable:
            key += tuple([args[i] for i in self._others if args[i] in self._findable])
        saying = self._sayings.get(key)
        if saying is None:
            entities = self._words.entities
            scope = Scope(
                {place[0]: entities[arg] for place, arg in zip(self._places, args, strict=True)},
                {place: (arg, place[1]) for place, arg in zip(self._places, args, strict=True)},
            )
            saying = self._sayings[key] = self._words.saying(self._body, scope)
        return saying


class Words:
    """Evaluates the symbols of one game.

    Args:
        rules: The grammar's rules.
        parents: Type → its supertype.
        grounding: Which facts there are.
        entities: What can be said of each object.
    """

    def __init__(
        self,
        rules: Mapping[str, tuple[Rule, ...]],
        parents: Mapping[str, str | None],
        grounding: Grounding,
        entities: Mapping[str, Entity],
    ) -> None:
        self.entities = entities
        self._rules = rules
        self._parents = parents
        self._grounding = grounding
        self._facts: dict[tuple[str, tuple[str, ...]], list[Found]] = {}
        self._indexes: dict[
            tuple[QueryAtom, tuple[int, ...]], dict[tuple[Variable, ...], list[Found]]
        ] = {}
        self._used: dict[str, _Uses] = {}
        self._values: dict[tuple[str, ...], str] = {}

    def saying(self, body: tuple[Symbol, ...], scope: Scope) -> Saying:
        """Evaluate a template."""
        tree = self._body(body, scope)
        return Saying(tree, looks_at(tree))

    def uses(self, symbol: Symbol, path: tuple[str, ...] = ()) -> _Uses:
        """Return what a symbol may touch.

        Raises:
            DataError: The symbol calls itself.
        """
        match symbol:
            case Text():
                return _Uses()
            case Value(source):
                return _Uses(identifiers(source))
            case Each(body, query, listed):
                found = self.uses(body, path) | _Uses(atoms=frozenset(query))
                for word in _LIST if listed else ():
                    found |= self.uses(word, path)
                return found
            case Call(name):
                if name in path:
                    raise DataError(f"the grammar's symbol {name!r} calls itself")
                if name not in self._used:
                    found = _Uses()
                    for rule in self._rules.get(name, ()):
                        found |= _Uses(atoms=frozenset(rule.condition))
                        for part in rule.body:
                            found |= self.uses(part, (*path, name))
                    self._used[name] = found
                return self._used[name]

    def findable(self, atoms: frozenset[QueryAtom], places: set[Placeholder]) -> frozenset[str]:
        """Return the objects that may come to stand for one of `places`."""
        return frozenset(
            args[position][0]
            for atom in atoms
            for position, place in enumerate(atom.placeholders)
            if place in places
            for args, _ in self._all(atom)
        )

    def _body(self, body: tuple[Symbol, ...], scope: Scope) -> Tree:
        return sequence([self._symbol(symbol, scope) for symbol in body])

    def _symbol(self, symbol: Symbol, scope: Scope) -> Tree:
        match symbol:
            case Text(text):
                return text
            case Value(source):
                return self._value(source, scope)
            case Call(name):
                return self._call(name, scope)
            case Each(body, query, listed):
                items = tuple(
                    (facts, self._symbol(body, inner))
                    for facts, inner in self._answers(query, scope)
                )
                if not listed and not any(facts for facts, _ in items):
                    return sequence(tree for _, tree in items)
                if not listed:
                    return Items(items, None)
                empty, between, last = (self._symbol(word, scope) for word in _LIST)
                tree = Items(items, (empty, between, last))
                return tree if looks_at(tree) else say(tree, 0)

    def _value(self, source: str, scope: Scope) -> str:
        used = sorted(identifiers(source) & scope.variables.keys())
        key = (source, *(scope.variables[name].id for name in used))
        value = self._values.get(key)
        if value is None:
            value = self._values[key] = evaluate(source, scope.variables)
        return value

    def _call(self, name: str, scope: Scope) -> Tree:
        if name not in self._rules:
            raise DataError(f"the grammar calls symbol {name!r} and has no rules for it")
        options: list[tuple[tuple[int, ...], Tree]] = []
        for rule in self._rules[name]:
            masks = tuple(facts for facts, _ in self._answers(rule.condition, scope))
            if 0 in masks:
                body = self._body(rule.body, scope)
                if not options:
                    return body
                options.append(((0,), body))
                break
            if masks:
                options.append((masks, self._body(rule.body, scope)))
        return Choice(tuple(options), name)

    def _answers(self, query: Query, scope: Scope) -> Iterator[tuple[int, Scope]]:
        """Yield each answer that a query may have, with the facts that it rests on, in order."""
        if not query:
            yield 0, scope
            return
        mapping = dict(scope.mapping)
        used = set(mapping.values())

        def search(depth: int, facts: int) -> Iterator[tuple[int, Scope]]:
            if depth == len(query):
                named = {name: self.entities[id_] for (name, _), (id_, _) in mapping.items()}
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
                signature = tuple(self.entities[arg].type for arg in args)
                variables = tuple(zip(args, signature, strict=True))
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
