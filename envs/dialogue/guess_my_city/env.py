"""`GuessMyCityEnv`: which city is it? Questions of any kind, 20 at most."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from agentgym.envs.dialogue.env import GuessingEnv, chosen
from agentgym.envs.dialogue.expert import Questioner
from agentgym.envs.dialogue.guess_my_city.cities import city_table
from agentgym.envs.dialogue.oracle import Oracle


class GuessMyCityEnv(GuessingEnv):
    """Find out by questions which city is meant.

    Args:
        cities: Which cities it may be; a number takes the first so many of a fixed mixture of all
            continents, None takes all.
        yes_no: Whether the table answers nothing but yes/no questions.
        oracle: Who answers; a table of facts where None.
        **options: `max_turns` (20), `action_format`, `expert`, `instructions` and `render_mode` as
            in `AgentEnv`.

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
        oracle: Oracle | None = None,
        **options: Any,
    ) -> None:
        self._cities = chosen(cities, city_table().mixed, "city")
        super().__init__(secrets=self._cities, oracle=oracle or city_table(yes_no), **options)

    def _questioner(self) -> Questioner:
        return _questioner(self._cities)


@lru_cache(maxsize=8)
def _questioner(cities: tuple[str, ...]) -> Questioner:
    table = city_table()
    return Questioner(table, cities, table.questions, guess="Is it {}?".format)
