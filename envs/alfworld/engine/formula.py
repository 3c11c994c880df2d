"""Conditions as data: the formulas of PDDL in negation normal form.

A formula is a tree of frozen dataclasses. Negation sits on literals only, because the reader pushes
it down as it parses; `imply` is gone by then too. `And(())` is truth and `Or(())` is falsity. The
same classes describe lifted conditions (arguments such as `?o`) and ground ones (arguments are
objects), so a goal can be handed to a planner as it stands.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, product


@dataclass(frozen=True, slots=True)
class Literal:
    """A predicate applied to terms, or its negation."""

    predicate: str
    args: tuple[str, ...]
    positive: bool = True


@dataclass(frozen=True, slots=True)
class And:
    """True where every part is."""

    parts: tuple["Formula", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True where some part is."""

    parts: tuple["Formula", ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A typed variable (`?o` of type `object`)."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Exists:
    """True where some assignment of the parameters makes the body true."""

    parameters: tuple[Parameter, ...]
    body: "Formula"


@dataclass(frozen=True, slots=True)
class Forall:
    """True where every assignment of the parameters makes the body true."""

    parameters: tuple[Parameter, ...]
    body: "Formula"


Formula = Literal | And | Or | Exists | Forall

TRUE = And(())
FALSE = Or(())


def conjunction(parts: Iterable[Formula]) -> Formula:
    """Return the conjunction of `parts`, flattened and simplified."""
    flat: list[Formula] = []
    for part in parts:
        if isinstance(part, And):
            flat.extend(part.parts)
        elif part == FALSE:
            return FALSE
        else:
            flat.append(part)
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def disjunction(parts: Iterable[Formula]) -> Formula:
    """Return the disjunction of `parts`, flattened and simplified."""
    flat: list[Formula] = []
    for part in parts:
        if isinstance(part, Or):
            flat.extend(part.parts)
        elif part == TRUE:
            return TRUE
        else:
            flat.append(part)
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def negate(formula: Formula) -> Formula:
    """Return the negation of `formula`, again in negation normal form."""
    match formula:
        case Literal(predicate, args, positive):
            return Literal(predicate, args, not positive)
        case And(parts):
            return disjunction(map(negate, parts))
        case Or(parts):
            return conjunction(map(negate, parts))
        case Exists(parameters, body):
            return Forall(parameters, negate(body))
        case Forall(parameters, body):
            return Exists(parameters, negate(body))


def substitute(formula: Formula, terms: Mapping[str, str]) -> Formula:
    """Replace free variables by terms.

    No capture can happen as long as the terms are objects or the variables of `rename_apart`.
    """
    match formula:
        case Literal(predicate, args, positive):
            return Literal(predicate, tuple(terms.get(arg, arg) for arg in args), positive)
        case And(parts):
            return conjunction(substitute(part, terms) for part in parts)
        case Or(parts):
            return disjunction(substitute(part, terms) for part in parts)
        case Exists(parameters, body) | Forall(parameters, body):
            bound = {parameter.name for parameter in parameters}
            inner = {name: term for name, term in terms.items() if name not in bound}
            return type(formula)(parameters, substitute(body, inner))


def rename_apart(formula: Formula, taken: set[str]) -> Formula:
    """Give every quantified variable a name that is not in `taken`, and add it there."""
    match formula:
        case Literal():
            return formula
        case And(parts):
            return And(tuple(rename_apart(part, taken) for part in parts))
        case Or(parts):
            return Or(tuple(rename_apart(part, taken) for part in parts))
        case Exists(parameters, body) | Forall(parameters, body):
            terms: dict[str, str] = {}
            renamed: list[Parameter] = []
            for parameter in parameters:
                name = parameter.name
                if name in taken:
                    name = next(n for i in count(1) if (n := f"{name}{i}") not in taken)
                taken.add(name)
                terms[parameter.name] = name
                renamed.append(Parameter(name, parameter.type))
            return type(formula)(tuple(renamed), rename_apart(substitute(body, terms), taken))


@dataclass(frozen=True, slots=True)
class Conjunct:
    """One disjunct of a condition: existential parameters, literals, and what is universal."""

    parameters: tuple[Parameter, ...]
    literals: tuple[Literal, ...]
    universals: tuple[Forall, ...]


def disjuncts(formula: Formula) -> list[Conjunct]:
    """Split a condition, its variables renamed apart, at its disjunctions.

    Existential quantifiers move outwards and become parameters; universal ones stay as they are.
    """
    match formula:
        case Literal():
            return [Conjunct((), (formula,), ())]
        case Forall():
            return [Conjunct((), (), (formula,))]
        case Or(parts):
            return [conjunct for part in parts for conjunct in disjuncts(part)]
        case Exists(parameters, body):
            return [
                Conjunct(parameters + inner.parameters, inner.literals, inner.universals)
                for inner in disjuncts(body)
            ]
        case And(parts):
            return [
                Conjunct(
                    tuple(p for inner in combination for p in inner.parameters),
                    tuple(x for inner in combination for x in inner.literals),
                    tuple(u for inner in combination for u in inner.universals),
                )
                for combination in product(*map(disjuncts, parts))
            ]


def literals(formula: Formula) -> Iterator[Literal]:
    """Yield every literal of the tree."""
    match formula:
        case Literal():
            yield formula
        case And(parts) | Or(parts):
            for part in parts:
                yield from literals(part)
        case Exists(_, body) | Forall(_, body):
            yield from literals(body)
