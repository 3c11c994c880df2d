"""`Questioner`: a player who halves what is left with every question, and names the last one.

It reads the same answers as any player. What fits them is found by asking the oracle what it would
have said had the secret been another, so that questions which the expert would not have asked tell
it as much.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from agentgym.envs.dialogue.oracle import Oracle


class Questioner:
    """Knows what could be the secret, and asks what splits that best.

    Args:
        oracle: Answers at once, and in the same way every time.
        names: What the secret may be.
        questions: What it may ask, the plainest first; of equally good ones the first is asked.
        guess: How it asks for one name.
    """

    def __init__(
        self,
        oracle: Oracle,
        names: Sequence[str],
        questions: Iterable[str],
        guess: Callable[[str], str],
    ) -> None:
        self._guess = guess
        self._answers = {
            question: {name: oracle.answer(name, question).text for name in names}
            for question in questions
        }
        self._oracle = oracle
        self._names = tuple(names)

    def left(self, asked: Sequence[tuple[str, str]]) -> tuple[str, ...]:
        """Return the names that fit (question, answer) pairs; all of them where none does."""
        fitting = [name for name in self._names if all(self._fits(name, *pair) for pair in asked)]
        return tuple(fitting or self._names)

    def ask(self, asked: Sequence[tuple[str, str]]) -> str:
        """Return the next question after these (question, answer) pairs."""
        left = self.left(asked)
        best, most = "", 0.0
        for question, answers in self._answers.items():
            bits = _entropy(Counter(answers[name] for name in left).values())
            if bits > most + 1e-9:
                best, most = question, bits
        if best and len(left) > 2:
            return best
        # Of two names either is as good a question as what tells them apart, and may be the end.
        return self._guess(next(iter(left)))

    def _fits(self, name: str, question: str, answer: str) -> bool:
        known = self._answers.get(question)
        said = known[name] if known else self._oracle.answer(name, question).text
        return said == answer


def _entropy(counts: Iterable[int]) -> float:
    numbers = list(counts)
    total = sum(numbers)
    return -sum(n / total * math.log2(n / total) for n in numbers)
