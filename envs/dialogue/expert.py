"""`Questioner`: a player who halves what is left with every question, and names the last one.

It reads the same answers as any player. What fits them is found by asking the table what it would
have said had the secret been another, so that questions which the expert would not have asked tell
it as much. Another oracle may contradict the table: then the name with the fewest contradictions is
the likeliest.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from agentgym.envs.dialogue.answers import yes_or_no
from agentgym.envs.dialogue.oracle import Oracle


class Questioner:
    """Knows what could be the secret, and asks what splits that best.

    Args:
        oracle: Answers at once, and in the same way every time: the table, whoever plays.
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
        """Return the names that fit (question, answer) pairs best.

        Those are the names that fit all of them, if there are any. One that was guessed in vain
        comes last, whatever else was said of it.
        """
        against = dict.fromkeys(self._names, 0.0)
        for question, answer in asked:
            # "Yes, it is a capital." is a yes; the table itself is as short as can be.
            heard = (answer, yes_or_no(answer))
            for name in self._names:
                against[name] += self._against(name, question, heard)
        fewest = min(against.values())
        return tuple(name for name in self._names if against[name] == fewest)

    def ask(self, asked: Sequence[tuple[str, str]]) -> str:
        """Return the next question after these (question, answer) pairs."""
        left = self.left(asked)
        before = {question for question, _ in asked}
        best, most = "", 0.0
        for question, answers in self._answers.items():
            if question in before:  # the same oracle would say the same
                continue
            bits = _entropy(Counter(answers[name] for name in left).values())
            if bits > most + 1e-9:
                best, most = question, bits
        if best and len(left) > 2:
            return best
        # Of two names either is as good a question as what tells them apart, and may be the end.
        return self._guess(next(iter(left)))

    def _against(self, name: str, question: str, heard: Sequence[str | None]) -> float:
        """Return how much an answer speaks against a name."""
        known = self._answers.get(question)
        if known is not None:
            return float(known[name] not in heard)
        said = self._oracle.answer(name, question)
        if said.text in heard:
            return 0.0
        return math.inf if said.found else 1.0


def _entropy(counts: Iterable[int]) -> float:
    numbers = list(counts)
    total = sum(numbers)
    return -sum(n / total * math.log2(n / total) for n in numbers)
