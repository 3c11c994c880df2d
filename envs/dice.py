"""Random choices that are the same in every process and on every version of Python.

Python promises that `random.Random(text).random()` keeps its sequence; it promises nothing about
`choice` or `shuffle`. Everything here is therefore built on `random()` alone.
"""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Draws that a text determines.

    Args:
        key: The seed, spelled out: equal keys give equal draws.
    """

    def __init__(self, key: str) -> None:
        self._random = random.Random(key).random

    def fraction(self) -> float:
        """Return a number from 0 to below 1."""
        return self._random()

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self._random() < probability

    def between(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def pick(self, items: Sequence[T]) -> T:
        """Return one of the items."""
        return items[int(self._random() * len(items))]

    def weighted(self, items: Sequence[T], weights: Sequence[float]) -> T:
        """Return one of the items, each as likely as its weight."""
        point = self._random() * sum(weights)
        for item, weight in zip(items, weights, strict=True):
            point -= weight
            if point < 0:
                return item
        return items[-1]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return the items in a random order."""
        mixed = list(items)
        for i in range(len(mixed) - 1, 0, -1):
            j = int(self._random() * (i + 1))
            mixed[i], mixed[j] = mixed[j], mixed[i]
        return mixed
