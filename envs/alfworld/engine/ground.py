"""Ground a problem: number the facts that can change, and list the operators over them.

A state is an int with a bit for each fact, so what is not worth a bit is left out: facts that never
change, facts that nothing can make true (a relaxed reachability pass finds the others), and facts
that nothing reads (ALFWorld's `checked`). The low bits are the physical facts, which decide what
applies and when the goal holds; the bits above them only serve the text. Which operators exist
follows Fast Downward: one per disjunct of the precondition, none that could not change anything.

Text reads facts as TextWorld keeps them, which differs from the state in two ways. A fact that was
undone is on record as `not_…` until it is done again, and a conditional effect is on record whether
its condition held or not. Both live in bits of their own.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from agentgym.envs.alfworld.engine.domain import Domain, Schema, SchemaEffect
from agentgym.envs.alfworld.engine.formula import (
    And,
    Formula,
    Literal,
    Parameter,
    disjuncts,
    negate,
    rename_apart,
    substitute,
)
from agentgym.envs.alfworld.engine.pddl import Problem
from agentgym.envs.alfworld.engine.relations import Args, Relations, Row, picker

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Conditional:
    """A conditional effect of a ground operator, as fact ids."""

    positive: Ids
    negative: Ids
    adds: Ids
    deletes: Ids


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way in which a test can hold, as bit masks; `unless` are tests that must fail."""

    need: int
    forbid: int
    unless: tuple["Test", ...]


@dataclass(frozen=True, slots=True)
class Test:
    """A ground condition: it holds where one of its alternatives does."""

    alternatives: tuple[Alternative, ...]

    def holds(self, state: int) -> bool:
        """Whether the condition holds in `state`."""
        for option in self.alternatives:
            if (
                state & option.need == option.need
                and not state & option.forbid
                and not any(test.holds(state) for test in option.unless)
            ):
                return True
        return False

    @property
    def mask(self) -> int:
        """The facts that the condition looks at."""
        mask = 0
        for option in self.alternatives:
            mask |= option.need | option.forbid
            for test in option.unless:
                mask |= test.mask
        return mask


@dataclass(frozen=True, slots=True)
class Operator:
    """A ground operator; facts are ids, positions in `Grounding.facts`."""

    action: str
    args: Args
    positive: Ids
    negative: Ids
    adds: Ids
    deletes: Ids
    conditional: tuple[Conditional, ...] = ()
    unless: tuple[Test, ...] = ()


@dataclass(frozen=True, slots=True)
class Grounding:
    """A ground problem.

    Attributes:
        facts: Predicate and arguments of each fact, by id; only the first `plain` are facts of the
            world.
        physical: How many facts, counted from id 0, decide applicability or the goal.
        plain: How many facts are facts of the world; the ids above are TextWorld's record of
            changes.
        ids: Predicate → arguments → id, for the facts of the world.
        said: Predicate as the grammar writes it → arguments → id, for the record of changes.
        initial: The initial state.
        operators: The operators that can ever apply, in a fixed order.
        goal: Tests that must all hold.
        relations: What never changes.
    """

    facts: list[tuple[str, Args]]
    physical: int
    plain: int
    ids: dict[str, dict[Args, int]]
    said: dict[str, dict[Args, int]]
    initial: int
    operators: list[Operator]
    goal: tuple[Test, ...]
    relations: Relations

    def spoken(self, predicate: str) -> Iterator[tuple[Args, int]]:
        """Yield the facts that a query on `predicate` can find, each with its bit (0: always)."""
        recorded = self.said.get(predicate)
        changing = self.ids.get(predicate, {}) if recorded is None else recorded
        for args, fact in changing.items():
            yield args, 1 << fact
        for args in self.relations.facts.get(predicate, ()):
            yield args, 0


@dataclass(slots=True)
class _Raw:
    """An operator before reachability: `positive` and the rest hold provisional fact ids."""

    schema: Schema
    row: Row
    positive: Ids
    negative: Ids
    effects: list[tuple[Ids, Ids, bool, int]]  # when these and not those hold: add or delete this


Pick = Callable[[Row], Args]
Source = tuple[dict[Args, int], Pick]


class _Grounder:
    def __init__(self, domain: Domain, problem: Problem) -> None:
        self.domain = domain
        self.rules = domain.rules
        self.problem = problem
        self.relations = Relations(domain.rules.pddl, problem, domain.rules.fluents)
        self.goal = domain.rules.inline(problem.goal)
        self.relevant = domain.rules.relevant(self.goal)
        self.kept = self.relevant | (domain.spoken & self.rules.fluents) | domain.undone
        self.table: dict[str, dict[Args, int]] = {name: {} for name in sorted(self.rules.fluents)}
        self.atoms: list[tuple[str, Args]] = []

    # Lifted to rows.

    def _fact(self, table: dict[Args, int], predicate: str, args: Args) -> int:
        fact = table.get(args)
        if fact is None:
            fact = table[args] = len(self.atoms)
            self.atoms.append((predicate, args))
        return fact

    def _split(
        self, parameters: tuple[Parameter, ...], literals: Iterable[Literal]
    ) -> tuple[list[Row], list[Literal]]:
        """Return the rows that unchanging facts allow, and the literals of changing ones."""
        joined: list[Literal] = []
        barred: list[Literal] = []
        changing: list[Literal] = []
        for literal in literals:
            if literal.predicate in self.rules.fluents:
                changing.append(literal)
            else:
                (joined if literal.positive else barred).append(literal)
        rows = self.relations.rows(parameters, joined)
        names = [parameter.name for parameter in parameters]
        for literal in barred:
            extra, pick = self._pick(literal, names)
            rows = [r for r in rows if not self.relations.holds(literal.predicate, pick(r + extra))]
        return rows, changing

    @staticmethod
    def _pick(literal: Literal, names: list[str]) -> tuple[Row, Pick]:
        """Return the constants of a literal and a picker of its arguments from row + constants."""
        extra: list[str] = []
        positions: list[int] = []
        for arg in literal.args:
            if arg in names:
                positions.append(names.index(arg))
            else:
                positions.append(len(names) + len(extra))
                extra.append(arg)
        return tuple(extra), picker(positions)

    # Operators.

    def raw(self) -> list[_Raw]:
        return [raw for schema in self.rules.schemas for raw in self._raw(schema)]

    def _raw(self, schema: Schema) -> Iterator[_Raw]:
        rows, changing = self._split(schema.parameters, schema.precondition.literals)
        names = [parameter.name for parameter in schema.parameters]
        sources = [(x.positive, x.predicate, *self._pick(x, names)) for x in changing]
        positive = [source[1:] for source in sources if source[0]]
        negative = [source[1:] for source in sources if not source[0]]
        wanted = [
            effect
            for effect in schema.effects
            if effect.literal.predicate in self.kept or not _always_effective(schema)
        ]
        simple = [
            (effect.literal.positive, effect.literal.predicate, *self._pick(effect.literal, names))
            for effect in wanted
            if not effect.parameters and not effect.condition
        ]
        rest = [effect for effect in wanted if effect.parameters or effect.condition]
        fact, table = self._fact, self.table
        for row in rows:
            raw = _Raw(
                schema,
                row,
                tuple(fact(table[name], name, pick(row + extra)) for name, extra, pick in positive),
                tuple(fact(table[name], name, pick(row + extra)) for name, extra, pick in negative),
                [
                    ((), (), add, fact(table[name], name, pick(row + extra)))
                    for add, name, extra, pick in simple
                ],
            )
            for effect in rest:
                raw.effects += self._effects(effect, dict(zip(names, row, strict=True)))
            yield raw

    def _effects(
        self, effect: SchemaEffect, terms: dict[str, str]
    ) -> Iterator[tuple[Ids, Ids, bool, int]]:
        condition = [_literal(substitute(x, terms)) for x in effect.condition]
        target = _literal(substitute(effect.literal, terms))
        rows, changing = self._split(effect.parameters, condition)
        names = [parameter.name for parameter in effect.parameters]
        for row in rows:
            own = dict(zip(names, row, strict=True))
            facts = [
                (literal.positive, self._fact(self.table[literal.predicate], *_atom(literal, own)))
                for literal in changing
            ]
            yield (
                tuple(fact for positive, fact in facts if positive),
                tuple(fact for positive, fact in facts if not positive),
                target.positive,
                self._fact(self.table[target.predicate], *_atom(target, own)),
            )

    # Reachability.

    def reach(self, raws: list[_Raw]) -> tuple[list[_Raw], set[int]]:
        """Return the operators that delete-free planning reaches, and the facts that it does."""
        reached = {
            self._fact(self.table[predicate], predicate, args)
            for predicate in self.table
            for args in self.problem.init.get(predicate, ())
        }
        waiting = raws
        effects: list[tuple[Ids, int]] = []
        live: set[int] = set()
        size = -1
        while len(reached) != size:
            size = len(reached)
            still: list[_Raw] = []
            for raw in waiting:
                if reached.issuperset(raw.positive):
                    live.add(id(raw))
                    for when, _, add, fact in raw.effects:
                        if add and not when:
                            reached.add(fact)
                        elif add:
                            effects.append((when, fact))
                else:
                    still.append(raw)
            waiting = still
            for when, fact in effects:
                if reached.issuperset(when):
                    reached.add(fact)
        return [raw for raw in raws if id(raw) in live], reached

    # Numbering.

    def ground(self) -> Grounding:
        raws, reached = self.reach(self.raw())
        raws = [raw for raw in raws if _effective(raw, reached)]
        physical = [f for f in sorted(reached) if self.atoms[f][0] in self.relevant]
        plain = self.rules.fluents & self.kept - self.relevant - self.rules.conditional
        textual = [f for f in sorted(reached) if self.atoms[f][0] in plain]
        numbered = physical + textual
        number = {fact: new for new, fact in enumerate(numbered)}
        facts = [self.atoms[fact] for fact in numbered]
        ids: dict[str, dict[Args, int]] = {}
        for new, (predicate, args) in enumerate(facts):
            ids.setdefault(predicate, {})[args] = new
        record = _Record(self.domain, self.atoms, raws, reached, len(facts))
        operators = [self._operator(raw, number, reached, record, ids) for raw in raws]
        initial = 0
        for predicate in sorted(self.rules.fluents):
            for args in self.problem.init.get(predicate, ()):
                for where in (ids.get(predicate, {}), record.said.get(predicate, {})):
                    if args in where:
                        initial |= 1 << where[args]
        parts = self.goal.parts if isinstance(self.goal, And) else (self.goal,)
        goal = tuple(self.test(part, ids) for part in parts)
        for name, rule in self.rules.derived.items():
            if name in self.domain.spoken:
                self._derive(name, rule.parameters, rule.condition, ids, initial)
        return Grounding(
            facts + record.facts,
            len(physical),
            len(facts),
            ids,
            record.said,
            initial,
            operators,
            goal,
            self.relations,
        )

    def _operator(
        self,
        raw: _Raw,
        number: dict[int, int],
        reached: set[int],
        record: "_Record",
        ids: dict[str, dict[Args, int]],
    ) -> Operator:
        added = {fact for when, unless, add, fact in raw.effects if add and not when and not unless}
        adds = [number[fact] for fact in sorted(added) if fact in number]
        deletes: list[int] = []
        conditional: list[Conditional] = []
        for when, unless, add, fact in raw.effects:
            if fact not in number or (add and fact in added):
                continue
            if not when and not unless:
                if not add and fact not in added:
                    deletes.append(number[fact])
            elif reached.issuperset(when):
                conditional.append(
                    Conditional(
                        tuple(number[f] for f in when),
                        tuple(number[f] for f in unless if f in number),
                        (number[fact],) if add else (),
                        () if add else (number[fact],),
                    )
                )
        recorded, erased = record.changes(raw)
        tests: tuple[Test, ...] = ()
        if raw.schema.precondition.universals:
            names = [parameter.name for parameter in raw.schema.parameters]
            terms = dict(zip(names, raw.row, strict=True))
            tests = tuple(
                self.test(negate(substitute(universal, terms)), ids)
                for universal in raw.schema.precondition.universals
            )
        return Operator(
            raw.schema.action,
            raw.row[: raw.schema.arity],
            tuple(number[fact] for fact in raw.positive),
            tuple(number[fact] for fact in raw.negative if fact in number),
            (*adds, *recorded),
            (*deletes, *erased),
            tuple(conditional),
            tests,
        )

    def test(self, formula: Formula, ids: dict[str, dict[Args, int]]) -> Test:
        """Ground a closed condition."""
        options: list[Alternative] = []
        for _, option in self._alternatives(formula, (), ids):
            options.append(option)
        return Test(tuple(options))

    def _alternatives(
        self, formula: Formula, free: tuple[Parameter, ...], ids: dict[str, dict[Args, int]]
    ) -> Iterator[tuple[Row, Alternative]]:
        """Yield each assignment of the free variables with one way to make the formula true."""
        for conjunct in disjuncts(rename_apart(formula, {parameter.name for parameter in free})):
            parameters = free + conjunct.parameters
            rows, changing = self._split(parameters, conjunct.literals)
            names = [parameter.name for parameter in parameters]
            sources = [(x.positive, x.predicate, *self._pick(x, names)) for x in changing]
            for row in rows:
                need = forbid = 0
                possible = True
                for positive, predicate, extra, pick in sources:
                    fact = ids.get(predicate, {}).get(pick(row + extra))
                    if fact is not None and positive:
                        need |= 1 << fact
                    elif fact is not None:
                        forbid |= 1 << fact
                    elif positive:
                        possible = False
                        break
                if not possible or need & forbid:
                    continue
                terms = dict(zip(names, row, strict=True))
                unless = tuple(
                    self.test(negate(substitute(universal, terms)), ids)
                    for universal in conjunct.universals
                )
                yield row[: len(free)], Alternative(need, forbid, unless)

    def _derive(
        self,
        name: str,
        parameters: tuple[Parameter, ...],
        condition: Formula,
        ids: dict[str, dict[Args, int]],
        initial: int,
    ) -> None:
        """Record where a derived predicate holds at the start: TextWorld never updates it."""
        true = {
            args: None
            for args, option in self._alternatives(condition, parameters, ids)
            if Test((option,)).holds(initial)
        }
        self.relations.facts[name] = true


class _Record:
    """Numbers TextWorld's record of changes, and says what an operator writes to it."""

    def __init__(
        self,
        domain: Domain,
        atoms: list[tuple[str, Args]],
        raws: list[_Raw],
        reached: set[int],
        start: int,
    ) -> None:
        self._atoms = atoms
        self._reached = reached
        self._said = domain.spoken & domain.rules.conditional
        self._undone = domain.undone
        self.facts: list[tuple[str, Args]] = []
        self.said: dict[str, dict[Args, int]] = {}
        for predicate in sorted(self._said):
            self.said[predicate] = {}
        for predicate in sorted(self._undone):
            self.said[f"not_{predicate}"] = {}
        if not self.said:
            return
        for fact in sorted(reached):
            predicate, args = atoms[fact]
            if predicate in self._said:
                self._number(predicate, args, start)
        for fact in sorted({f for raw in raws for *_, add, f in raw.effects if not add}):
            predicate, args = atoms[fact]
            if predicate in self._undone and fact in reached:
                self._number(f"not_{predicate}", args, start)

    def _number(self, predicate: str, args: Args, start: int) -> None:
        self.said[predicate][args] = start + len(self.facts)
        self.facts.append((predicate, args))

    def changes(self, raw: _Raw) -> tuple[list[int], list[int]]:
        """Return the record's bits that the operator sets and those that it clears."""
        sets: dict[int, None] = {}
        clears: dict[int, None] = {}
        certain = {fact for when, unless, add, fact in raw.effects if add and not when + unless}
        # Fast Downward writes a fact's deletion after its addition, so the deletion is what stays.
        for _, _, add, fact in sorted(raw.effects, key=lambda effect: not effect[2]):
            predicate, args = self._atoms[fact]
            if predicate not in self._said and predicate not in self._undone:
                continue
            if add and fact in raw.positive:
                continue  # nothing to report: the precondition says so already
            if not add and (fact in raw.negative or fact in certain or fact not in self._reached):
                continue
            holds = self.said.get(predicate, {}).get(args)
            undone = self.said.get(f"not_{predicate}", {}).get(args)
            for bit, on in ((holds, add), (undone, not add)):
                if bit is not None:
                    (sets if on else clears)[bit] = None
                    (clears if on else sets).pop(bit, None)
        return list(sets), list(clears)


def _always_effective(schema: Schema) -> bool:
    """Whether some effect changes something whatever the arguments are."""
    required = {x for x in schema.precondition.literals if x.positive}
    refused = {x.predicate for x in schema.precondition.literals if not x.positive}
    added = {effect.literal.predicate for effect in schema.effects if effect.literal.positive}
    for effect in schema.effects:
        if effect.parameters or effect.condition:
            continue
        literal = effect.literal
        if literal.positive and literal.predicate not in {x.predicate for x in required}:
            return True
        if (
            not literal.positive
            and literal.predicate not in added | refused
            and Literal(literal.predicate, literal.args) in required
        ):
            return True
    return False


def _effective(raw: _Raw, reached: set[int]) -> bool:
    if _always_effective(raw.schema):
        return True
    certain = {fact for when, unless, add, fact in raw.effects if add and not when + unless}
    for when, _, add, fact in raw.effects:
        if not reached.issuperset(when):
            continue
        if add and fact not in raw.positive:
            return True
        if not add and fact in reached and fact not in certain and fact not in raw.negative:
            return True
    return False


def _literal(formula: Formula) -> Literal:
    assert isinstance(formula, Literal)  # substitution keeps the shape
    return formula


def _atom(literal: Literal, terms: dict[str, str]) -> tuple[str, Args]:
    return literal.predicate, tuple(terms.get(arg, arg) for arg in literal.args)


def ground(domain: Domain, problem: Problem) -> Grounding:
    """Ground `problem`.

    Args:
        domain: The compiled domain that the problem was read with.
        problem: The objects, the initial facts and the goal.
    """
    return _Grounder(domain, problem).ground()
