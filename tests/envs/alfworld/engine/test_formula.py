from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from agentgym.envs.alfworld.engine.formula import (
    FALSE,
    TRUE,
    And,
    Exists,
    Forall,
    Formula,
    Literal,
    Or,
    Parameter,
    conjunction,
    disjunction,
    disjuncts,
    literals,
    negate,
    rename_apart,
    substitute,
)

OBJECTS = ("a", "b")
VARIABLES = ("?x", "?y")
TERMS = st.sampled_from(OBJECTS + VARIABLES)


def literal() -> st.SearchStrategy[Literal]:
    return st.builds(
        Literal, st.sampled_from(("p", "q")), st.tuples(TERMS), st.booleans()
    ) | st.builds(Literal, st.just("r"), st.tuples(TERMS, TERMS), st.booleans())


def grow(inner: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
    parts = st.lists(inner, max_size=3).map(tuple)
    parameters = st.sampled_from(VARIABLES).map(lambda name: (Parameter(name, "object"),))
    return (
        st.builds(And, parts)
        | st.builds(Or, parts)
        | st.builds(Exists, parameters, inner)
        | st.builds(Forall, parameters, inner)
    )


formulas = st.recursive(literal(), grow, max_leaves=6)
worlds = st.frozensets(
    st.sampled_from(
        [(name, (o,)) for name in "pq" for o in OBJECTS]
        + [("r", pair) for pair in product(OBJECTS, OBJECTS)]
    )
)


def holds(formula: Formula, world: frozenset[object], terms: dict[str, str]) -> bool:
    match formula:
        case Literal(predicate, args, positive):
            return ((predicate, tuple(terms.get(arg, arg) for arg in args)) in world) == positive
        case And(parts):
            return all(holds(part, world, terms) for part in parts)
        case Or(parts):
            return any(holds(part, world, terms) for part in parts)
        case Exists(parameters, body) | Forall(parameters, body):
            quantifier = any if isinstance(formula, Exists) else all
            names = [parameter.name for parameter in parameters]
            return quantifier(
                holds(body, world, terms | dict(zip(names, values, strict=True)))
                for values in product(OBJECTS, repeat=len(names))
            )


TERM_VALUES = {"?x": "a", "?y": "b"}


@given(formulas, worlds)
def test_negation_is_negation(formula: Formula, world: frozenset[object]):
    assert holds(negate(formula), world, TERM_VALUES) != holds(formula, world, TERM_VALUES)


@given(formulas, worlds)
def test_renaming_apart_keeps_the_meaning_and_parts_the_names(
    formula: Formula, world: frozenset[object]
):
    taken = set(VARIABLES)
    renamed = rename_apart(formula, taken)
    assert holds(renamed, world, TERM_VALUES) == holds(formula, world, TERM_VALUES)
    bound = [p.name for p in quantified(renamed)]
    assert len(bound) == len(set(bound))
    assert not set(bound) & set(VARIABLES)


def quantified(formula: Formula) -> list[Parameter]:
    match formula:
        case Literal():
            return []
        case And(parts) | Or(parts):
            return [parameter for part in parts for parameter in quantified(part)]
        case Exists(parameters, body) | Forall(parameters, body):
            return [*parameters, *quantified(body)]


@given(formulas, worlds)
def test_disjuncts_keep_the_meaning(formula: Formula, world: frozenset[object]):
    renamed = rename_apart(formula, set(VARIABLES))
    again = Or(
        tuple(Exists(d.parameters, And((*d.literals, *d.universals))) for d in disjuncts(renamed))
    )
    assert holds(again, world, TERM_VALUES) == holds(formula, world, TERM_VALUES)


@given(formulas, worlds)
def test_substitution_binds_free_variables_only(formula: Formula, world: frozenset[object]):
    bound = substitute(formula, TERM_VALUES)
    assert holds(bound, world, {"?x": "b", "?y": "a"}) == holds(formula, world, TERM_VALUES)


def test_simplification():
    one, two = Literal("p", ("a",)), Literal("q", ("a",))
    assert conjunction([one]) == one
    assert conjunction([And((one, two)), TRUE]) == And((one, two))
    assert conjunction([one, FALSE]) == FALSE
    assert disjunction([one, TRUE]) == TRUE
    assert disjunction([Or((one,)), FALSE, two]) == Or((one, two))
    assert list(literals(Forall((), Or((one, two))))) == [one, two]
