"""TextWorld's record of what happened, which is what its texts read.

It differs from the state in two ways. A fact that was undone is on record as `not_…` until it is
done again. And every effect of an operator is on record, whether its condition held or not; Fast
Downward writes a fact's deletion after its addition, so the deletion is what stays. Where a grammar
asks about either, the record has bits of its own, above those of the world.
"""

from collections.abc import Iterator

from agentgym.envs.alfworld.engine.domain import Domain
from agentgym.envs.alfworld.engine.instances import Batch, Change, Instances
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
        said = domain.spoken & domain.rules.conditional
        undone = domain.undone & domain.rules.fluents
        self._recorded = said | undone
        self._reached = instances.reached
        self.facts: list[tuple[str, Args]] = []
        self.said: dict[str, dict[Args, int]] = {
            **{predicate: {} for predicate in sorted(said)},
            **{f"not_{predicate}": {} for predicate in sorted(domain.undone)},
        }
        self._holds: dict[int, int] = {}  # provisional number of a fact → bit
        self._undone: dict[int, int] = {}
        deleted = _deleted(instances.batches, undone) & instances.reached
        for prefix, predicates, facts, bits in (
            ("", said, instances.reached, self._holds),
            ("not_", undone, deleted, self._undone),
        ):
            for fact in sorted(facts) if predicates else ():
                predicate, args = instances.atoms[fact]
                if predicate in predicates:
                    bits[fact] = self.said[prefix + predicate][args] = start + len(self.facts)
                    self.facts.append((predicate, args))

    def writes(self, batch: Batch) -> bool:
        """Whether the instances of a batch may write anything."""
        return any(x.literal.predicate in self._recorded for x in batch.schema.effects)

    def changes(self, batch: Batch) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Yield, for each instance of a batch, the bits that it sets and those that it clears."""
        recorded = [column for column in batch.certain if column.predicate in self._recorded]
        for row, (positive, negative) in enumerate(
            zip(batch.positive, batch.negative, strict=True)
        ):
            changes = [Change((), (), column.add, column.facts[row]) for column in recorded]
            changes += batch.conditional[row] if batch.conditional else ()
            certain = {c.fact for c in changes if c.add and not c.when and not c.unless}
            sets: set[int] = set()
            clears: set[int] = set()
            for adds in (True, False):  # the deletions have the last word
                for change in changes:
                    fact = change.fact
                    if change.add != adds or not self._reached.issuperset(change.when):
                        continue
                    if fact in (positive if adds else negative):
                        continue  # nothing to report: the precondition says so already
                    if not adds and fact in certain:
                        continue
                    on, off = (self._holds, self._undone) if adds else (self._undone, self._holds)
                    if fact in on:
                        sets.add(on[fact])
                        clears.discard(on[fact])
                    if fact in off:
                        clears.add(off[fact])
                        sets.discard(off[fact])
            yield tuple(sorted(sets)), tuple(sorted(clears))


def _deleted(batches: list[Batch], predicates: frozenset[str]) -> set[int]:
    deleted: set[int] = set()
    for batch in batches:
        for column in batch.certain:
            if not column.add and column.predicate in predicates:
                deleted.update(column.facts)
        for changes in batch.conditional:
            deleted.update(change.fact for change in changes if not change.add)
    return deleted
