"""`GuessMyCityEnv`: which city is it? Questions of any kind, 20 at most."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from agentgym.envs.dialogue.answers import fact, yes_or_no
from agentgym.envs.dialogue.env import GuessingEnv, chosen
from agentgym.envs.dialogue.expert import Questioner
from agentgym.envs.dialogue.guess_my_city.cities import LOST, YES_NO, city_table
from agentgym.envs.dialogue.policy_oracle import Role

_SECRET = "You think of this city: {secret}. The player has to find out which one it is, and asks. "
OPEN = Role(
    _SECRET + "Answer each question truthfully, in one short sentence. Never write the city's name "
    'or a part of it; write "the city" instead.',
    fact,
    LOST,
    instead="the city",
)
"""How a policy is asked to answer."""
CLOSED = Role(
    _SECRET + "Answer each question truthfully, with one word: Yes or No. If it can't be answered "
    "by yes or no, write: Unclear.",
    yes_or_no,
    YES_NO,
)
"""How it is asked to answer yes/no questions only."""


class GuessMyCityEnv(GuessingEnv):
    """Find out by questions which city is meant.

    Args:
        cities: Which cities it may be; a number takes the first so many of a fixed mixture of all
            continents, None takes all.
        yes_no: Whether nothing but yes/no questions are answered.
        **options: `oracle`, `oracle_options`, `oracle_seconds` and `max_turns` as in `GuessingEnv`;
            `action_format`, `expert`, `instructions` and `render_mode` as in `AgentEnv`.

    Raises:
        UsageError: If an option is none of the above.
    """

    description = (
        "I think of a city. Ask whatever you like about it but its name, and name it as soon as "
        "you know it."
    )
    opening = "I am thinking of a city. Which one is it?"

    def __init__(
        self,
        *,
        cities: Sequence[str] | int | None = None,
        yes_no: bool = False,
        **options: Any,
    ) -> None:
        self._cities = chosen(cities, city_table().mixed, "city")
        role = CLOSED if yes_no else OPEN
        super().__init__(secrets=self._cities, table=city_table(yes_no), role=role, **options)

    def _questioner(self) -> Questioner:
        return _questioner(self._cities)


@lru_cache(maxsize=8)
def _questioner(cities: tuple[str, ...]) -> Questioner:
    table = city_table()
    return Questioner(table, cities, table.questions, guess="Is it {}?".format)
