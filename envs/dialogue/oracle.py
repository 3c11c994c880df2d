"""Who answers: an `Oracle` knows the secret and says what is true of it.

The default oracles are `Table`s of facts (`twenty_questions/objects.py`,
`guess_my_city/cities.py`), which costs microseconds and gives the same answer every time. A policy
takes a table's place in a `PolicyOracle`, and anything with the same method takes either's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """What an oracle says to a question.

    Attributes:
        text: What the player reads.
        found: Whether the question names the secret, which ends the game.
        understood: Whether the oracle knew what was asked.
    """

    text: str
    found: bool = False
    understood: bool = True


class Oracle(Protocol):
    """Answers questions about a secret."""

    def answer(self, secret: str, question: str) -> Answer:
        """Answer one question.

        Args:
            secret: The name of what the player is to find.
            question: What the player asked, verbatim.

        Raises:
            InfraError: If what the oracle runs on failed.
        """
        ...


class Table(Oracle, Protocol):
    """An oracle that looks answers up, and knows names."""

    @property
    def questions(self) -> Sequence[str]:
        """One question for each thing that it knows."""
        ...

    def named(self, question: str) -> str | None:
        """Return which entry a question names, as a guess does; None if it names none."""
        ...

    def names(self, secret: str) -> Sequence[str]:
        """Return all names of an entry."""
        ...
