import contextlib

import pytest
from alfworld_games import workshop
from hypothesis import given
from hypothesis import strategies as st

from agentgym.envs.alfworld.engine.formula import Exists, Forall, Literal, Or, Parameter
from agentgym.envs.alfworld.engine.pddl import read, read_domain, read_problem
from agentgym.errors import DataError

DOMAIN = """(define (domain tiny)
 (:requirements :adl) (:types cat dog - animal mat)
 (:predicates (on ?a - animal ?m - mat) (wet ?m))
 (:functions (total-cost) - number)
 (:action move :parameters (?a - animal ?m ?n - mat)
  :precondition (and (on ?a ?m) (not (or (wet ?n) (on ?a ?n))))
  :effect (and (on ?a ?n) (not (on ?a ?m)) (increase (total-cost) 1))))"""


def problem(text: str) -> str:
    return f"(define (problem p) (:domain tiny) {text})"


def test_read_drops_case_and_comments():
    assert read("(A (B ?c?D) ; (not this\n e)") == ["a", ["b", "?c", "?d"], "e"]


def test_types_without_a_supertype_are_objects():
    parents = read_domain(DOMAIN).parents
    assert parents == {"object": None, "cat": "animal", "dog": "animal", "mat": "object"}


def test_negation_moves_to_the_literals():
    (action,) = read_domain(DOMAIN).actions
    assert [str(literal.predicate) for literal in action.precondition.parts] == ["on", "wet", "on"]
    assert [literal.positive for literal in action.precondition.parts] == [True, False, False]
    assert [effect.literal.positive for effect in action.effects] == [True, False]


def test_imply_and_quantifiers():
    domain = read_domain(workshop()["pddl_domain"])
    tidy = next(rule for rule in domain.derived if rule.name == "tidy")
    assert tidy.condition == Forall(
        (Parameter("?b", "box"),),
        Or((Literal("at", ("?b", "?p"), False), Literal("open", ("?b",), False))),
    )
    grab = next(action for action in domain.actions if action.name == "grab")
    implied = grab.precondition.parts[-1]
    assert isinstance(implied, Or)
    assert isinstance(implied.parts[0], Forall)  # not exists


def test_an_unknown_type_in_a_quantifier_is_allowed():
    # ALFWorld's own domain has "?l - location, ?r - receptacle", whose comma belongs to the type.
    domain = read_domain(DOMAIN.replace("(on ?a ?m)", "(exists (?x - mat, ?y - mat) (wet ?x))", 1))
    (action,) = domain.actions
    assert isinstance(action.precondition.parts[0], Exists) or "mat," in str(action.precondition)


def test_problem():
    read_ = read_problem(
        problem(
            "(:objects tom - cat a b - mat) (:init (on tom a) (= (total-cost) 0))"
            " (:goal (on tom b))"
        ),
        read_domain(DOMAIN),
    )
    assert read_.types == {"tom": "cat", "a": "mat", "b": "mat"}
    assert read_.init == {"on": {("tom", "a"): None}}
    assert read_.goal == Literal("on", ("tom", "b"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(:objects", "open at its end"),
        ("(:objects a - mat))", "never opened"),
        ("(:objects a - hat) (:goal (wet a))", "does not declare"),
        ("(:objects a a - mat) (:goal (wet a))", "twice"),
        ("(:objects a - ) (:goal (wet a))", "no type after it"),
        ("(:objects a - mat) (:init (wet b)) (:goal (wet a))", "'b', which :objects"),
        ("(:objects a - mat) (:goal (dry a))", "never declares it"),
        ("(:objects a - mat) (:goal (wet a a))", "declared with 1"),
        ("(:objects a - mat)", "no :goal"),
        ("(:domain other) (:goal (wet a))", "not 'tiny'"),
        ("(:objects é - mat) (:goal (wet é))", "'é' is not"),
        ("(:constraints (wet a))", "not supported"),
    ],
)
def test_a_wrong_problem_says_what_is_wrong(text: str, message: str):
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        read_problem(problem(text), read_domain(DOMAIN))


@given(st.text(alphabet="(): abc?-;\n", max_size=60))
def test_any_text_is_read_or_refused(text: str):
    with contextlib.suppress(DataError):
        read_domain(text)
