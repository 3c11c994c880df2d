"""A domain and a grammar, compiled once and shared by every game that uses them.

Compiling turns each action into schemas, one per disjunct of its precondition, in the shape that
grounding wants: literals that unchanging facts decide, literals of changing facts, universal
conditions, and effects with plain conditions. Derived predicates are written out where they are
used. The PDDL part is cached by its text alone: ALFWorld writes each game's task into the grammar,
so grammars differ from game to game, while the domain stays the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from agentgym.envs.alfworld.engine.formula import (
    And,
    Conjunct,
    Exists,
    Forall,
    Formula,
    Literal,
    Parameter,
    conjunction,
    disjunction,
    disjuncts,
    literals,
    negate,
    rename_apart,
    substitute,
)
from agentgym.envs.alfworld.engine.grammar import Each, Grammar, Query, read_grammar
from agentgym.envs.alfworld.engine.pddl import Action, Derived, Effect, read_domain
from agentgym.envs.alfworld.engine.pddl import Domain as Pddl
from agentgym.errors import DataError


@dataclass(frozen=True, slots=True)
class SchemaEffect:
    """For all `parameters`, when all of `condition`, then `literal`."""

    parameters: tuple[Parameter, ...]
    condition: tuple[Literal, ...]
    literal: Literal


@dataclass(frozen=True, slots=True)
class Schema:
    """One disjunct of an action."""

    action: str
    parameters: tuple[Parameter, ...]
    """The action's own parameters, then those that its precondition quantifies."""
    arity: int
    """How many of the parameters are the action's own."""
    precondition: Conjunct
    effects: tuple[SchemaEffect, ...]
    effective: bool
    """Whether some effect changes something, whatever the arguments are."""


@dataclass(frozen=True, slots=True)
class Rules:
    """A PDDL domain, compiled.

    Attributes:
        pddl: The domain as written.
        schemas: The actions.
        parameters: Action → its own parameters.
        fluents: The predicates that actions change.
        conditional: Those of them that some action changes only under a condition.
        derived: The derived predicates, with nothing derived in their conditions.
        read: The predicates that preconditions read.
        steers: Predicate → the predicates that conditions of effects on it read.
    """

    pddl: Pddl
    schemas: tuple[Schema, ...]
    parameters: dict[str, tuple[Parameter, ...]]
    fluents: frozenset[str]
    conditional: frozenset[str]
    derived: dict[str, Derived]
    read: frozenset[str]
    steers: dict[str, frozenset[str]]

    def inline(self, formula: Formula) -> Formula:
        """Write out the derived predicates of a formula."""
        return _inline(formula, self.derived)

    def relevant(self, goal: Formula) -> frozenset[str]:
        """Return the changing predicates that decide what applies and whether the goal holds."""
        waiting = [*self.read, *(literal.predicate for literal in literals(goal))]
        found: set[str] = set()
        while waiting:
            predicate = waiting.pop()
            if predicate in self.fluents and predicate not in found:
                found.add(predicate)
                waiting += self.steers.get(predicate, ())
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Domain:
    """The rules of the world and the words for them.

    Attributes:
        rules: The compiled PDDL domain.
        grammar: The grammar as written.
        spoken: The predicates that the grammar asks about.
        undone: The predicates that the grammar asks about as `not_…`.
    """

    rules: Rules
    grammar: Grammar
    spoken: frozenset[str]
    undone: frozenset[str]


@lru_cache(maxsize=32)
def compile_domain(pddl: str, grammar: str) -> Domain:
    """Compile a domain and a grammar; the result is cached by content.

    Args:
        pddl: The text of the PDDL domain.
        grammar: The text of the .twl2 grammar.

    Raises:
        DataError: One of them can't be read, is out of the supported subset, or they don't fit.
    """
    rules = _compile_rules(pddl)
    words = read_grammar(grammar)
    missing = sorted(set(rules.parameters) - set(words.templates))
    if missing:
        raise DataError(f"the grammar has no action {missing[0]!r}, which the PDDL domain has")
    asked = {atom.predicate for query in _queries(words) for atom in query}
    return Domain(
        rules,
        words,
        frozenset(asked),
        frozenset(name[4:] for name in asked if name.startswith("not_")),
    )


def _queries(grammar: Grammar) -> Iterable[Query]:
    bodies = [template.command + template.feedback for template in grammar.templates.values()]
    for rules in grammar.rules.values():
        for rule in rules:
            yield rule.condition
            bodies.append(rule.body)
    for body in bodies:
        yield from (symbol.query for symbol in body if isinstance(symbol, Each))


@lru_cache(maxsize=16)
def _compile_rules(text: str) -> Rules:
    pddl = read_domain(text)
    derived = _compile_derived(pddl.derived)
    changed = [effect for action in pddl.actions for effect in action.effects]
    for effect in changed:
        if effect.literal.predicate in derived:
            raise DataError(f"PDDL changes derived predicate {effect.literal.predicate!r}")
    schemas = tuple(schema for action in pddl.actions for schema in _schemas(action, derived))
    steers: dict[str, set[str]] = {}
    conditional: set[str] = set()
    for schema in schemas:
        for effect in schema.effects:
            if effect.condition:
                predicate = effect.literal.predicate
                conditional.add(predicate)
                steers.setdefault(predicate, set()).update(x.predicate for x in effect.condition)
    return Rules(
        pddl,
        schemas,
        {action.name: action.parameters for action in pddl.actions},
        frozenset(effect.literal.predicate for effect in changed),
        frozenset(conditional),
        derived,
        frozenset(
            literal.predicate
            for schema in schemas
            for part in (*schema.precondition.literals, *schema.precondition.universals)
            for literal in literals(part)
        ),
        {predicate: frozenset(read) for predicate, read in steers.items()},
    )


def _compile_derived(written: tuple[Derived, ...]) -> dict[str, Derived]:
    merged: dict[str, Derived] = {}
    for rule in written:
        before = merged.get(rule.name)
        if before is None:
            merged[rule.name] = rule
            continue
        terms = {
            mine.name: first.name
            for mine, first in zip(rule.parameters, before.parameters, strict=True)
        }
        both = disjunction((before.condition, substitute(rule.condition, terms)))
        merged[rule.name] = Derived(rule.name, before.parameters, both)
    done: dict[str, Derived] = {}

    def finish(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise DataError(f"PDDL derives {name!r} from itself, which is not supported")
        if name in done:
            return
        rule = merged[name]
        for literal in literals(rule.condition):
            if literal.predicate in merged:
                finish(literal.predicate, (*path, name))
        done[name] = Derived(name, rule.parameters, _inline(rule.condition, done))

    for name in merged:
        finish(name, ())
    return done


def _inline(formula: Formula, derived: dict[str, Derived]) -> Formula:
    match formula:
        case Literal(predicate, args, positive):
            rule = derived.get(predicate)
            if rule is None:
                return formula
            condition = rename_apart(rule.condition, {*args, *(p.name for p in rule.parameters)})
            terms = {p.name: arg for p, arg in zip(rule.parameters, args, strict=True)}
            body = substitute(condition, terms)
            return body if positive else negate(body)
        case Exists(parameters, body) | Forall(parameters, body):
            return type(formula)(parameters, _inline(body, derived))
        case _:
            parts = (_inline(part, derived) for part in formula.parts)
            return (conjunction if isinstance(formula, And) else disjunction)(parts)


def _schemas(action: Action, derived: dict[str, Derived]) -> Iterable[Schema]:
    taken = {parameter.name for parameter in action.parameters}
    precondition = rename_apart(_inline(action.precondition, derived), taken)
    effects = tuple(
        compiled for effect in action.effects for compiled in _effects(effect, action, derived)
    )
    for conjunct in disjuncts(precondition):
        parameters = action.parameters + conjunct.parameters
        yield Schema(
            action.name,
            parameters,
            len(action.parameters),
            conjunct,
            effects,
            _effective(conjunct, effects),
        )


def _effective(precondition: Conjunct, effects: tuple[SchemaEffect, ...]) -> bool:
    required = {x for x in precondition.literals if x.positive}
    needed = {x.predicate for x in required}
    refused = {x.predicate for x in precondition.literals if not x.positive}
    added = {effect.literal.predicate for effect in effects if effect.literal.positive}
    for effect in effects:
        if effect.parameters or effect.condition:
            continue
        literal = effect.literal
        if literal.positive and literal.predicate not in needed:
            return True
        undoes = Literal(literal.predicate, literal.args) in required
        if not literal.positive and undoes and literal.predicate not in added | refused:
            return True
    return False


def _effects(effect: Effect, action: Action, derived: dict[str, Derived]) -> Iterable[SchemaEffect]:
    own = {parameter.name for parameter in action.parameters}
    whole = Exists(effect.parameters, conjunction((effect.condition, effect.literal)))
    renamed = rename_apart(whole, own)
    assert isinstance(renamed, Exists)  # renaming keeps the shape
    terms = {
        old.name: new.name for old, new in zip(effect.parameters, renamed.parameters, strict=True)
    }
    taken = own | {parameter.name for parameter in renamed.parameters}
    condition = rename_apart(_inline(substitute(effect.condition, terms), derived), taken)
    literal = substitute(effect.literal, terms)
    assert isinstance(literal, Literal)  # substitution keeps the shape
    for conjunct in disjuncts(condition):
        if conjunct.universals:
            raise DataError(
                f"PDDL action {action.name!r} has an effect under a universal condition, "
                "which is not supported"
            )
        yield SchemaEffect(renamed.parameters + conjunct.parameters, conjunct.literals, literal)
