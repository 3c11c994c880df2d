"""From the grammar's rules to texts: binds variables, once per game.

Which facts a text can meet is known when the game is loaded; only whether they hold is not. So
everything else about a text is settled the first time it is needed, and shared by all operators
that would say the same: what you see in the fridge does not depend on where you came from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agentgym.envs.alfworld.engine.expression import Entity, evaluate, identifiers
from agentgym.envs.alfworld.engine.formula import Parameter
from agentgym.envs.alfworld.engine.grammar import (
    Call,
    Each,
    Placeholder,
    QueryAtom,
    Rule,
    Symbol,
    Text,
    Value,
)
from agentgym.envs.alfworld.engine.queries import Queries, Scope
from agentgym.envs.alfworld.engine.relations import Args
from agentgym.envs.alfworld.engine.text import (
    Choice,
    Items,
    Saying,
    Tree,
    Unsayable,
    looks_at,
    say,
    sequence,
)
from agentgym.errors import DataError

_LIST = (Call("list_empty"), Call("list_separator"), Call("list_last_separator"))


@dataclass(frozen=True, slots=True)
class _Uses:
    """What a symbol may touch: variable names of its expressions, and atoms of its queries."""

    names: frozenset[str] = frozenset()
    atoms: frozenset[QueryAtom] = frozenset()

    def __or__(self, other: "_Uses") -> "_Uses":
        return _Uses(self.names | other.names, self.atoms | other.atoms)


class _Slot(NamedTuple):
    """Where a template says something of one argument."""

    source: str
    name: str
    position: int


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
        self._findable = words.queries.findable(uses.atoms, asked.difference(self._places))
        self._sayings: dict[Args, Saying] = {}
        self._pieces = self._plain()

    def text(self, args: Args) -> str:
        """Return the text for the instance with these arguments, where no state can change it.

        Raises:
            DataError: Some state could.
        """
        if self._pieces is None:
            saying = self.saying(args)
            if saying.mask:
                raise DataError("it depends on facts that change, which is not supported")
            return saying.text(0)
        value, entities = self._words.value, self._words.entities
        return "".join(
            [
                piece
                if isinstance(piece, str)
                else value(piece.source, {piece.name: entities[args[piece.position]]})
                for piece in self._pieces
            ]
        )

    def _plain(self) -> list[str | _Slot] | None:
        """Split a template that says plain text and one variable at a time; None for other ones."""
        pieces: list[str | _Slot] = []
        for symbol in self._body:
            names = identifiers(symbol.source) if isinstance(symbol, Value) else frozenset[str]()
            found = [(name, i) for i, (name, _) in enumerate(self._places) if name in names]
            if isinstance(symbol, Text):
                pieces.append(symbol.text)
            elif isinstance(symbol, Value) and len(found) == len(names) == 1:
                pieces.append(_Slot(symbol.source, *found[0]))
            else:
                return None
        return pieces

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
        queries: Answers its queries.
        entities: What can be said of each object.
    """

    def __init__(
        self,
        rules: Mapping[str, tuple[Rule, ...]],
        queries: Queries,
        entities: Mapping[str, Entity],
    ) -> None:
        self.entities = entities
        self.queries = queries
        self._rules = rules
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

    def _body(self, body: tuple[Symbol, ...], scope: Scope) -> Tree:
        return sequence([self._symbol(symbol, scope) for symbol in body])

    def _symbol(self, symbol: Symbol, scope: Scope) -> Tree:
        match symbol:
            case Text(text):
                return text
            case Value(source):
                return self.value(source, scope.variables)
            case Call(name):
                return self._call(name, scope)
            case Each(body, query, listed):
                items = tuple(
                    (facts, self._symbol(body, inner))
                    for facts, inner in self.queries.answers(query, scope)
                )
                if not listed and not any(facts for facts, _ in items):
                    return sequence(tree for _, tree in items)
                if not listed:
                    return Items(items, None)
                empty, between, last = (self._symbol(word, scope) for word in _LIST)
                tree = Items(items, (empty, between, last))
                return tree if looks_at(tree) else say(tree, 0)

    def value(self, source: str, variables: Mapping[str, Entity]) -> str:
        """Evaluate an expression, once for each object."""
        used = sorted(identifiers(source) & variables.keys())
        key = (source, *[variables[name].id for name in used])
        value = self._values.get(key)
        if value is None:
            value = self._values[key] = evaluate(source, variables)
        return value

    def _call(self, name: str, scope: Scope) -> Tree:
        if name not in self._rules:
            raise DataError(f"the grammar calls symbol {name!r} and has no rules for it")
        options: list[tuple[tuple[int, ...], Tree]] = []
        for rule in self._rules[name]:
            masks = tuple(facts for facts, _ in self.queries.answers(rule.condition, scope))
            if 0 in masks:
                if not options:
                    return self._body(rule.body, scope)
                masks = (0,)
            if masks:
                try:
                    body = self._body(rule.body, scope)
                except DataError as error:
                    body = Unsayable(str(error))
                options.append((masks, body))
            if 0 in masks:
                break
        return Choice(tuple(options), name)
