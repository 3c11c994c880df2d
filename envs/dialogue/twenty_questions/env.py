"""`TwentyQuestionsEnv`: which everyday object is it? Yes/no questions, 20 at most."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from agentgym.envs.dialogue.answers import yes_or_no
from agentgym.envs.dialogue.env import GuessingEnv, chosen
from agentgym.envs.dialogue.expert import Questioner
from agentgym.envs.dialogue.policy_oracle import Role
from agentgym.envs.dialogue.twenty_questions.objects import LOST, object_table

ROLE = Role(
    "We play twenty questions. You think of this object: {secret}. The player has to find out "
    "what it is, and asks about it. Answer each question truthfully, with one word: Yes or No. "
    "If it can't be answered by yes or no, write: Unclear.",
    yes_or_no,
    LOST,
)
"""How a policy is asked to answer."""


class TwentyQuestionsEnv(GuessingEnv):
    """Find out by yes/no questions which object is meant.

    Args:
        words: Which objects it may be; a number takes the first so many of a fixed mixture of all
            kinds, None takes all.
        **options: `oracle`, `oracle_options`, `oracle_seconds` and `max_turns` as in `GuessingEnv`;
            `action_format`, `expert`, `instructions` and `render_mode` as in `AgentEnv`.

    Raises:
        UsageError: If an option is none of the above.
    """

    description = (
        "We play twenty questions. I think of an object; ask questions that can be answered by yes "
        "or no, and name the object as soon as you know it."
    )
    opening = "I am thinking of an object. What is it?"

    def __init__(
        self,
        *,
        words: Sequence[str] | int | None = None,
        **options: Any,
    ) -> None:
        self._words = chosen(words, object_table().mixed, "object")
        super().__init__(secrets=self._words, table=object_table(), role=ROLE, **options)

    def _questioner(self) -> Questioner:
        return _questioner(self._words)


@lru_cache(maxsize=8)
def _questioner(words: tuple[str, ...]) -> Questioner:
    table = object_table()
    return Questioner(table, words, table.questions, guess=_guess)


def _guess(name: str) -> str:
    plural = name.endswith("s") and not name.endswith("ss")
    article = "" if plural else "an " if name[0] in "aeiou" else "a "
    return f"Is it {article}{name}?"
