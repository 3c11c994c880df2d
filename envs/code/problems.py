"""`GeneratedProblems`: problem number i of a split, made when it is asked for, always the same.

Whether a problem belongs to training or to the test is told by a hash of its question, so the two
have none in common, whatever is drawn.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict
from enum import StrEnum
from random import Random

from agentgym.envs.code.families import FAMILIES, TINY_FAMILIES, Level, Problem
from agentgym.errors import UnknownNameError, UsageError
from agentgym.members import member
from agentgym.task import Task

_TEST_SHARE = 26
"""Of 256: a tenth of all problems are the test's."""
_COUNTS = {"train": 10_000, "test": 1_000}


class Split(StrEnum):
    """Which problems."""

    TRAIN = "train"
    TEST = "test"


class GeneratedProblems:
    """A `TaskSet` of generated problems; families take turns.

    Args:
        split: Which problems.
        level: How hard they are.
        families: Kinds of problems, by name; all that have this level if None.
        count: How many there are; 10,000 for training and 1,000 for the test if None.

    Raises:
        UnknownNameError: If there is no such split, level or family.
        UsageError: If a family has no such level, or there are no problems.
    """

    def __init__(
        self,
        split: str = "train",
        level: str | int = "easy",
        families: Iterable[str] | None = None,
        count: int | None = None,
    ) -> None:
        self.split = member(Split, split, "split")
        self.level = _level(level)
        tiny = self.level is Level.TINY
        offered = TINY_FAMILIES if tiny else tuple(FAMILIES)
        self.families = offered if families is None else tuple(families)
        for name in self.families:
            if name not in FAMILIES:
                raise UnknownNameError("family", name, FAMILIES)
            if name not in offered:
                raise UsageError(f"Only {' and '.join(offered)} have a tiny level, not {name}")
        self._count = _COUNTS[self.split] if count is None else count
        if not self.families or self._count < 1:
            raise UsageError("There must be at least one family and one problem")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int, /) -> Task:
        family = self.family(index)
        number = index // len(self.families)
        problem = generate(self.split, self.level, family, number)
        task_id = f"{self.level}/{self.split}/{family}/{number}"
        return Task(task_id, problem.question, problem.answer, asdict(problem))

    def family(self, index: int) -> str:
        """Return the family of a problem."""
        return self.families[index % len(self.families)]

    def find(self, task_id: str) -> int:
        """Return the index of a task id."""
        parts = task_id.split("/")
        if len(parts) == 4 and parts[2] in self.families and parts[3].isdecimal():
            place = self.families.index(parts[2])
            index = int(parts[3]) * len(self.families) + place
            if index < self._count and self[index].id == task_id:
                return index
        raise UnknownNameError("task", task_id, [self[0].id, self[self._count - 1].id])


def generate(split: Split, level: Level, family: str, number: int) -> Problem:
    """Return a problem; the same arguments make the same one."""
    draw = Random(f"{level}/{split}/{family}/{number}")
    while True:
        problem = FAMILIES[family](draw, level)
        digest = hashlib.sha256(problem.question.encode()).digest()
        if (digest[0] < _TEST_SHARE) == (split is Split.TEST):
            return problem


def _level(level: str | int) -> Level:
    levels = list(Level)
    if isinstance(level, int) and 1 <= level <= len(levels):
        return levels[level - 1]
    try:
        return Level(level)
    except ValueError:
        raise UnknownNameError("difficulty", str(level), levels) from None
