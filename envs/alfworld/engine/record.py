"""TextWorld's record of what happened, which is what its texts read.

It differs from the state in two ways. A fact that was undone is on record as `not_…` until it is
done again. And every effect of an operator is on record, whether its condition held or not; Fast
Downward writes a fact's deletion after its addition, so the deletion is what stays. Where a grammar
asks about either, the record has bits of its own, above those of the world.
"""

from collections.abc import Iterable

from agentgym.envs.alfworld.engine.domain import Domain
from agentgym.envs.alfworld.engine.instances import Batch, Instances
from agentgym.envs.alfworld.engine.relations import Args


class Record:
    """Numbers the record's facts and says what an operator writes.

    Args:
        domain: What the grammar asks about.
        instances: The operators.
        start: The first number that is free.

    Attributes:
        facts: The facts, in the order of their numbers.
        said: Predicate as the grammar writes it → arguments → number.
    """

    def __init__(self, domain: Domain, instances: Instances, start: int) -> None:
        self._instances = instances
        self._said = domain.spoken & domain.rules.conditional
        self._undone = domain.undone & domain.rules.fluents
        self.facts: list[tuple[str, Args]] = []
        self.said: dict[str, dict[Args, int]] = {
            **{predicate: {} for predicate in sorted(self._said)},
            **{f"not_{predicate}": {} for predicate in sorted(domain.undone)},
        }
        atoms, reached = instances.atoms, instances.reached
        if self._said:
            for fact in sorted(reached):
                self._number(atoms[fact][0], *atoms[fact], start, self._said)
        if self._undone:
            for fact in sorted(_deleted(instances.batches, self._undone) & reached):
                self._number(f"not_{atoms[fact][0]}", *atoms[fact], start, self._undone)

    def _number(
        self, name: str, predicate: str, args: Args, start: int, wanted: Iterable[str]
    ) -> None:
        if predicate in wanted:
            self.said[name][args] = start + len(self.facts)
            self.facts.append((predicate, args))

    def concerns(self, batch: Batch) -> bool:
        """Whether the instances of a batch may write anything."""
        recorded = self._said | self._undone
        return any(effect.literal.predicate in recorded for effect in batch.schema.effects)

    def changes(self, batch: Batch, row: int) -> tuple[list[int], list[int]]:
        """Return the bits that an instance sets and those that it clears."""
        sets: dict[int, None] = {}
        clears: dict[int, None] = {}
        changes = batch.changes(row)
        certain = {c.fact for c in changes if c.add and not c.when and not c.unless}
        for change in sorted(changes, key=lambda change: not change.add):
            predicate, args = self._instances.atoms[change.fact]
            if not self._instances.reached.issuperset(change.when):
                continue  # it can never happen, and Fast Downward knows
            if change.add and change.fact in batch.positive[row]:
                continue  # the precondition says so already
            if not change.add and (
                change.fact in batch.negative[row]
                or change.fact in certain
                or change.fact not in self._instances.reached
            ):
                continue
            holds = self.said.get(predicate, {}).get(args)
            undone = self.said.get(f"not_{predicate}", {}).get(args)
            for bit, on in ((holds, change.add), (undone, not change.add)):
                if bit is not None:
                    (sets if on else clears)[bit] = None
                    (clears if on else sets).pop(bit, None)
        return list(sets), list(clears)


def _deleted(batches: list[Batch], predicates: frozenset[str]) -> set[int]:
    deleted: set[int] = set()
    for batch in batches:
        for predicate, add, column in batch.certain:
            if not add and predicate in predicates:
                deleted.update(column)
        for changes in batch.conditional:
            deleted.update(change.fact for change in changes if not change.add)
    return deleted
