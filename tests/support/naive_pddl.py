"""PDDL by the book: sets of facts, every quantifier enumerated, nothing compiled.

What the engine's bit sets are compared with. Only the reader is shared with the engine.
"""

from collections.abc import Iterator, Mapping
from itertools import product

from agentgym.envs.alfworld.engine.formula import (
    And,
    Exists,
    Forall,
    Formula,
    Literal,
    Or,
    Parameter,
)
from agentgym.envs.alfworld.engine.pddl import Domain, Problem

Fact = tuple[str, tuple[str, ...]]
Facts = frozenset[Fact]


class NaiveWorld:
    def __init__(self, domain: Domain, problem: Problem) -> None:
        self.domain = domain
        self.problem = problem
        self.initial: Facts = frozenset(
            (predicate, args) for predicate, facts in problem.init.items() for args in facts
        )
        self.derived = {rule.name: rule for rule in domain.derived}

    def objects(self, type_: str) -> list[str]:
        def is_a(own: str | None) -> bool:
            while own is not None and own != type_:
                own = self.domain.parents[own]
            return own is not None

        return [name for name, own in self.problem.types.items() if is_a(own)]

    def assignments(self, parameters: tuple[Parameter, ...]) -> Iterator[dict[str, str]]:
        for values in product(*(self.objects(p.type) for p in parameters)):
            yield {p.name: value for p, value in zip(parameters, values, strict=True)}

    def holds(self, formula: Formula, facts: Facts, terms: Mapping[str, str]) -> bool:
        match formula:
            case Literal(predicate, args, positive):
                values = tuple(terms.get(arg, arg) for arg in args)
                if predicate == "=":
                    return (values[0] == values[1]) == positive
                rule = self.derived.get(predicate)
                if rule is not None:
                    own = {p.name: v for p, v in zip(rule.parameters, values, strict=True)}
                    return self.holds(rule.condition, facts, own) == positive
                return ((predicate, values) in facts) == positive
            case And(parts):
                return all(self.holds(part, facts, terms) for part in parts)
            case Or(parts):
                return any(self.holds(part, facts, terms) for part in parts)
            case Exists(parameters, body):
                return any(
                    self.holds(body, facts, {**terms, **more})
                    for more in self.assignments(parameters)
                )
            case Forall(parameters, body):
                return all(
                    self.holds(body, facts, {**terms, **more})
                    for more in self.assignments(parameters)
                )

    def successors(self, facts: Facts) -> dict[tuple[str, tuple[str, ...]], Facts]:
        """Return what each applicable action leads to."""
        found: dict[tuple[str, tuple[str, ...]], Facts] = {}
        for action in self.domain.actions:
            for terms in self.assignments(action.parameters):
                if not self.holds(action.precondition, facts, terms):
                    continue
                adds: set[Fact] = set()
                deletes: set[Fact] = set()
                for effect in action.effects:
                    for more in self.assignments(effect.parameters):
                        inner = {**terms, **more}
                        if self.holds(effect.condition, facts, inner):
                            args = tuple(inner.get(arg, arg) for arg in effect.literal.args)
                            (adds if effect.literal.positive else deletes).add(
                                (effect.literal.predicate, args)
                            )
                key = (action.name, tuple(terms[p.name] for p in action.parameters))
                found[key] = (facts - deletes) | adds
        return found
