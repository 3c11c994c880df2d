"""Ground a problem: number the facts that can change, and list the operators over them.

A state is an int with a bit for each fact, so what is not worth a bit is left out: facts that never
change, facts that nothing can make true, and facts that nothing reads (ALFWorld's `checked`). The
low bits are the physical facts, which decide what applies and when the goal holds; the bits above
them only serve the text. Which operators exist follows Fast Downward: one per disjunct of the
precondition, none that could not change anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from agentgym.envs.alfworld.engine.condition import Alternative, Condition
from agentgym.envs.alfworld.engine.domain import Domain
from agentgym.envs.alfworld.engine.formula import (
    And,
    Formula,
    Parameter,
    disjuncts,
    negate,
    rename_apart,
    substitute,
)
from agentgym.envs.alfworld.engine.instances import Batch, Change, Ids, Instances
from agentgym.envs.alfworld.engine.pddl import Problem
from agentgym.envs.alfworld.engine.record import Record
from agentgym.envs.alfworld.engine.relations import Args, Relations, Row


class Conditional(NamedTuple):
    """A conditional effect of an operator, as fact numbers."""

    positive: Ids
    negative: Ids
    adds: Ids
    deletes: Ids


class Operator(NamedTuple):
    """A ground operator; facts are numbers, positions in `Grounding.facts`."""

    action: str
    args: Args
    positive: Ids
    """Facts that must hold."""
    negative: Ids
    """Facts that must not hold."""
    adds: Ids
    deletes: Ids
    conditional: tuple[Conditional, ...] = ()
    unless: tuple[Condition, ...] = ()
    """Conditions that must not hold: what a universal precondition comes to."""


@dataclass(frozen=True, slots=True)
class Grounding:
    """A ground problem.

    Attributes:
        facts: Predicate and arguments of each fact, by number.
        physical: How many facts, counted from number 0, decide applicability or the goal.
        plain: How many facts are facts of the world; the rest are TextWorld's record.
        ids: Predicate → arguments → number, for the facts of the world.
        said: Predicate as the grammar writes it → arguments → number, for the record.
        initial: The initial state.
        operators: The operators that can ever apply, in a fixed order.
        goal: Conditions that must all hold.
        relations: What never changes.
    """

    facts: list[tuple[str, Args]]
    physical: int
    plain: int
    ids: dict[str, dict[Args, int]]
    said: dict[str, dict[Args, int]]
    initial: int
    operators: list[Operator]
    goal: tuple[Condition, ...]
    relations: Relations

    def spoken(self, predicate: str) -> Iterator[tuple[Args, int]]:
        """Yield the facts that a query on `predicate` can find, each with its bit (0: always)."""
        recorded = self.said.get(predicate)
        changing = self.ids.get(predicate, {}) if recorded is None else recorded
        for args, fact in changing.items():
            yield args, 1 << fact
        for args in self.relations.facts.get(predicate, ()):
            yield args, 0


class _Grounder:
    def __init__(self, domain: Domain, problem: Problem) -> None:
        rules = domain.rules
        self._domain = domain
        self._goal = rules.inline(problem.goal)
        relevant = rules.relevant(self._goal)
        kept = relevant | (domain.spoken | domain.undone) & rules.fluents
        self._instances = Instances(rules, problem, kept)
        atoms, reached = self._instances.atoms, sorted(self._instances.reached)
        textual = domain.spoken & rules.fluents - relevant - rules.conditional
        physical = [fact for fact in reached if atoms[fact][0] in relevant]
        numbered = physical + [fact for fact in reached if atoms[fact][0] in textual]
        self._number = {fact: number for number, fact in enumerate(numbered)}
        self._facts = [atoms[fact] for fact in numbered]
        self._physical = len(physical)
        self._ids: dict[str, dict[Args, int]] = {}
        for number, (predicate, args) in enumerate(self._facts):
            self._ids.setdefault(predicate, {})[args] = number
        self._record = Record(domain, self._instances, len(self._facts))
        self._initial = 0
        for predicate in rules.fluents:
            for args in problem.init.get(predicate, ()):
                for where in (self._ids, self._record.said):
                    fact = where.get(predicate, {}).get(args)
                    if fact is not None:
                        self._initial |= 1 << fact

    def ground(self) -> Grounding:
        operators: list[Operator] = []
        for batch in self._instances.batches:
            operators += self._operators(batch)
        parts = self._goal.parts if isinstance(self._goal, And) else (self._goal,)
        for name, rule in self._domain.rules.derived.items():
            if name in self._domain.spoken:  # TextWorld reads them at the start, and never again
                self._instances.relations.facts[name] = {
                    args: None
                    for args, option in self._alternatives(rule.condition, rule.parameters)
                    if Condition((option,)).holds(self._initial)
                }
        return Grounding(
            self._facts + self._record.facts,
            self._physical,
            len(self._facts),
            self._ids,
            self._record.said,
            self._initial,
            operators,
            tuple(self._condition(part) for part in parts),
            self._instances.relations,
        )

    def _operators(self, batch: Batch) -> Iterator[Operator]:
        arity = batch.schema.arity
        action = batch.schema.action
        rows = batch.rows
        args = [row[:arity] for row in rows] if len(batch.schema.parameters) > arity else rows
        number = self._number
        positive = [tuple([number[fact] for fact in facts]) for facts in batch.positive]
        negative = [
            tuple([number[fact] for fact in facts if fact in number]) for facts in batch.negative
        ]
        added = [column for column in batch.certain if column.add]
        deleted = [column for column in batch.certain if not column.add]
        adds = _rows([column.facts for column in added], number, len(rows))
        deletes = _rows([column.facts for column in deleted], number, len(rows))
        if {column.predicate for column in added} & {column.predicate for column in deleted}:
            deletes = [
                tuple([fact for fact in gone if fact not in new])
                for gone, new in zip(deletes, adds, strict=True)
            ]
        if self._record.writes(batch):
            for row, (sets, clears) in enumerate(self._record.changes(batch)):
                adds[row] += sets
                deletes[row] += clears
        if not batch.conditional and not batch.schema.precondition.universals:
            for one in zip(args, positive, negative, adds, deletes, strict=True):
                yield Operator(action, *one)
            return
        for row, one in enumerate(zip(args, positive, negative, adds, deletes, strict=True)):
            conditional = [
                self._conditional(change)
                for change in (batch.conditional[row] if batch.conditional else ())
                if change.fact in number and self._instances.reached.issuperset(change.when)
            ]
            yield Operator(action, *one, tuple(conditional), self._unless(batch, row))

    def _conditional(self, change: Change) -> Conditional:
        number = self._number
        fact = (number[change.fact],)
        return Conditional(
            tuple(number[fact] for fact in change.when),
            tuple(number[fact] for fact in change.unless if fact in number),
            fact if change.add else (),
            () if change.add else fact,
        )

    def _unless(self, batch: Batch, row: int) -> tuple[Condition, ...]:
        names = [parameter.name for parameter in batch.schema.parameters]
        terms = dict(zip(names, batch.rows[row], strict=True))
        return tuple(
            self._condition(negate(substitute(universal, terms)))
            for universal in batch.schema.precondition.universals
        )

    def _condition(self, formula: Formula) -> Condition:
        """Ground a condition without free variables."""
        return Condition(tuple(option for _, option in self._alternatives(formula, ())))

    def _alternatives(
        self, formula: Formula, free: tuple[Parameter, ...]
    ) -> Iterator[tuple[Row, Alternative]]:
        """Yield each assignment of the free variables with one way to make the formula true."""
        for conjunct in disjuncts(rename_apart(formula, {parameter.name for parameter in free})):
            parameters = free + conjunct.parameters
            names = [parameter.name for parameter in parameters]
            rows, changing = self._instances.split(parameters, conjunct.literals)
            for row in rows:
                need = forbid = 0
                for literal, extra, pick in changing:
                    fact = self._ids.get(literal.predicate, {}).get(pick(row + extra))
                    if fact is None and literal.positive:
                        break
                    if fact is not None and literal.positive:
                        need |= 1 << fact
                    elif fact is not None:
                        forbid |= 1 << fact
                else:
                    terms = dict(zip(names, row, strict=True))
                    unless = tuple(
                        self._condition(negate(substitute(universal, terms)))
                        for universal in conjunct.universals
                    )
                    if not need & forbid:
                        yield row[: len(free)], Alternative(need, forbid, unless)


def _rows(columns: list[list[int]], number: dict[int, int], length: int) -> list[Ids]:
    """Turn columns of provisional numbers into rows of final ones; what has none is left out."""
    if not columns:
        return [()] * length
    final = [[number.get(fact, -1) for fact in column] for column in columns]
    if any(-1 in column for column in final):
        return [tuple([fact for fact in row if fact >= 0]) for row in zip(*final, strict=True)]
    return list(zip(*final, strict=True))


def ground(domain: Domain, problem: Problem) -> Grounding:
    """Ground a problem.

    Args:
        domain: The compiled domain that the problem was read with.
        problem: The objects, the initial facts and the goal.
    """
    return _Grounder(domain, problem).ground()
