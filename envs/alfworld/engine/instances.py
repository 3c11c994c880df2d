"""Every instance of every action that delete-free planning can reach.

Instances of one schema are kept in columns: a join against the unchanging facts gives the rows, and
each literal of a changing predicate becomes a column of fact numbers, so that most of the work runs
in loops of the interpreter's own. The numbers are provisional; `ground.py` renumbers the facts that
matter.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from agentgym.envs.alfworld.engine.domain import Rules, Schema, SchemaEffect
from agentgym.envs.alfworld.engine.formula import Literal, Parameter, substitute
from agentgym.envs.alfworld.engine.pddl import Problem
from agentgym.envs.alfworld.engine.relations import Args, Pick, Relations, Row, picker

Ids = tuple[int, ...]


class Change(NamedTuple):
    """An effect of one instance: when all of `when` and none of `unless`, add or delete `fact`."""

    when: Ids
    unless: Ids
    add: bool
    fact: int


class Column(NamedTuple):
    """An unconditional effect of every instance of a schema: the fact that it changes, per row."""

    predicate: str
    add: bool
    facts: list[int]


class Table(dict[Args, int]):
    """Numbers the facts of a predicate as they are first asked for.

    Args:
        predicate: The predicate.
        atoms: All facts, of every predicate; a fact's number is its position there.
    """

    def __init__(self, predicate: str, atoms: list[tuple[str, Args]]) -> None:
        super().__init__()
        self._predicate = predicate
        self._atoms = atoms

    def __missing__(self, args: Args) -> int:
        number = self[args] = len(self._atoms)
        self._atoms.append((self._predicate, args))
        return number


@dataclass(slots=True)
class Batch:
    """The instances of a schema, in columns.

    Attributes:
        schema: What they are instances of.
        rows: The objects that stand for the schema's parameters.
        positive: Facts that must hold, per row.
        negative: Facts that must not, per row.
        certain: The unconditional effects.
        conditional: The other effects, per row; empty where the schema has none.
    """

    schema: Schema
    rows: list[Row]
    positive: list[Ids]
    negative: list[Ids]
    certain: list[Column]
    conditional: list[list[Change]]

    def changes(self, row: int) -> list[Change]:
        """Return the effects of one instance."""
        certain = [Change((), (), column.add, column.facts[row]) for column in self.certain]
        return certain + self.conditional[row] if self.conditional else certain

    def keep(self, rows: list[int]) -> None:
        """Drop every instance but these."""
        if len(rows) == len(self.rows):
            return
        self.rows = [self.rows[row] for row in rows]
        self.positive = [self.positive[row] for row in rows]
        self.negative = [self.negative[row] for row in rows]
        self.certain = [
            column._replace(facts=[column.facts[row] for row in rows]) for column in self.certain
        ]
        if self.conditional:
            self.conditional = [self.conditional[row] for row in rows]


class Instances:
    """The instances of a problem's actions.

    Args:
        rules: The compiled domain.
        problem: The objects and the initial facts.
        kept: Effects on other predicates are left out, where it is certain that the action has one
            that counts.

    Attributes:
        relations: What never changes.
        atoms: The changing facts by number.
        batches: The instances that can be reached and could change something.
        reached: The facts that can be reached.
    """

    def __init__(self, rules: Rules, problem: Problem, kept: frozenset[str]) -> None:
        self.relations = Relations(rules.pddl, problem, rules.fluents)
        self.atoms: list[tuple[str, Args]] = []
        self._fluents = rules.fluents
        self._tables = {name: Table(name, self.atoms) for name in sorted(rules.fluents)}
        self._kept = kept
        self.batches = [self._batch(schema) for schema in rules.schemas]
        self.reached = self._reach(problem)
        for batch in self.batches:
            if not batch.schema.effective:
                rows = range(len(batch.rows))
                batch.keep([row for row in rows if self._effective(batch, row)])

    def split(
        self, parameters: tuple[Parameter, ...], literals: Iterable[Literal]
    ) -> tuple[list[Row], list[tuple[Literal, Row, Pick]]]:
        """Bind parameters.

        Returns:
            The rows that the literals of unchanging predicates allow; and the literals of changing
            ones, each with its constants and a picker of its arguments from row + constants.
        """
        joined: list[Literal] = []
        barred: list[Literal] = []
        changing: list[tuple[Literal, Row, Pick]] = []
        names = [parameter.name for parameter in parameters]
        for literal in literals:
            if literal.predicate in self._fluents:
                changing.append((literal, *_pick(literal, names)))
            else:
                (joined if literal.positive else barred).append(literal)
        rows = self.relations.rows(parameters, joined)
        for literal in barred:
            facts = self.relations.facts.get(literal.predicate, {})
            extra, pick = _pick(literal, names)
            rows = [row for row in rows if pick(row + extra) not in facts]
        return rows, changing

    def _batch(self, schema: Schema) -> Batch:
        rows, changing = self.split(schema.parameters, schema.precondition.literals)
        positive = [self._column(rows, *x) for x in changing if x[0].positive]
        negative = [self._column(rows, *x) for x in changing if not x[0].positive]
        names = [parameter.name for parameter in schema.parameters]
        certain: list[Column] = []
        conditional: list[SchemaEffect] = []
        for effect in schema.effects:
            literal = effect.literal
            if schema.effective and literal.predicate not in self._kept:
                continue
            if effect.parameters or effect.condition:
                conditional.append(effect)
            else:
                facts = self._column(rows, literal, *_pick(literal, names))
                certain.append(Column(literal.predicate, literal.positive, facts))
        nothing: list[Ids] = [()] * len(rows)
        return Batch(
            schema,
            rows,
            list(zip(*positive, strict=True)) if positive else nothing,
            list(zip(*negative, strict=True)) if negative else nothing,
            certain,
            [self._changes(conditional, dict(zip(names, row, strict=True))) for row in rows]
            if conditional
            else [],
        )

    def _column(self, rows: list[Row], literal: Literal, extra: Row, pick: Pick) -> list[int]:
        table = self._tables[literal.predicate]
        if extra:
            return [table[pick(row + extra)] for row in rows]
        return [table[args] for args in map(pick, rows)]

    def _changes(self, effects: list[SchemaEffect], terms: dict[str, str]) -> list[Change]:
        result: list[Change] = []
        for effect in effects:
            condition = [_literal(substitute(x, terms)) for x in effect.condition]
            target = _literal(substitute(effect.literal, terms))
            rows, changing = self.split(effect.parameters, condition)
            names = [parameter.name for parameter in effect.parameters]
            extra, pick = _pick(target, names)
            for row in rows:
                facts = [
                    (literal.positive, self._tables[literal.predicate][picked(row + constants)])
                    for literal, constants, picked in changing
                ]
                result.append(
                    Change(
                        tuple(fact for positive, fact in facts if positive),
                        tuple(fact for positive, fact in facts if not positive),
                        target.positive,
                        self._tables[target.predicate][pick(row + extra)],
                    )
                )
        return result

    def _reach(self, problem: Problem) -> set[int]:
        """Drop the instances that delete-free planning misses; return the facts it reaches."""
        reached = {
            table[args]
            for predicate, table in self._tables.items()
            for args in problem.init.get(predicate, ())
        }
        waiting = [list(range(len(batch.rows))) for batch in self.batches]
        alive: list[list[int]] = [[] for _ in self.batches]
        later: list[tuple[Ids, int]] = []
        size = -1
        while len(reached) != size:
            size = len(reached)
            for batch, rows, found in zip(self.batches, waiting, alive, strict=True):
                if not rows:
                    continue
                ready = [row for row in rows if reached.issuperset(batch.positive[row])]
                if not ready:
                    continue
                found += ready
                left = set(rows).difference(ready)
                rows[:] = [row for row in rows if row in left]
                for column in batch.certain:
                    if column.add:
                        reached.update([column.facts[row] for row in ready])
                for row in ready if batch.conditional else ():
                    later += ((c.when, c.fact) for c in batch.conditional[row] if c.add)
            reached.update([fact for when, fact in later if reached.issuperset(when)])
        for batch, found in zip(self.batches, alive, strict=True):
            batch.keep(sorted(found))
        return reached

    def _effective(self, batch: Batch, row: int) -> bool:
        """Whether an instance could change anything."""
        changes = batch.changes(row)
        certain = {c.fact for c in changes if c.add and not c.when and not c.unless}
        for change in changes:
            if not self.reached.issuperset(change.when):
                continue
            if change.add and change.fact not in batch.positive[row]:
                return True
            if (
                not change.add
                and change.fact in self.reached
                and change.fact not in certain
                and change.fact not in batch.negative[row]
            ):
                return True
        return False


def _pick(literal: Literal, names: list[str]) -> tuple[Row, Pick]:
    extra: list[str] = []
    positions: list[int] = []
    for arg in literal.args:
        if arg in names:
            positions.append(names.index(arg))
        else:
            positions.append(len(names) + len(extra))
            extra.append(arg)
    return tuple(extra), picker(positions)


def _literal(formula: object) -> Literal:
    assert isinstance(formula, Literal)  # substitution keeps the shape
    return formula
