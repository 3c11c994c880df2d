"""Who answers: an `Oracle` knows the secret and says what is true of it.

The default oracles look answers up in a table of facts (`twenty_questions/objects.py`,
`guess_my_city/cities.py`), which costs microseconds and gives the same answer every time. Anything
with the same method takes their place.
"""

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
