"""Guess My City: what the table answers and gives away, and that the expert finds everything."""

from collections import Counter
from typing import Any

import pytest

import agentgym
from agentgym.envs.dialogue import GuessMyCityEnv
from agentgym.envs.dialogue.guess_my_city.cities import COUNTRY, LOST, CityTable, city_table
from agentgym.envs.dialogue.questions import core
from agentgym.errors import DataError, UnknownNameError

ID = "agentgym/GuessMyCity-v0"


def make(**options: Any) -> GuessMyCityEnv:
    env = agentgym.make(ID, **options)
    assert isinstance(env, GuessMyCityEnv)
    return env


def said(city: str, question: str) -> str:
    return city_table().answer(city, question).text


def test_no_text_of_a_city_holds_its_name() -> None:
    cities = city_table().cities.values()
    assert len(cities) == 100
    for city in cities:
        texts = (
            *(city.country, city.continent, city.currency, city.climate, city.food),
            *(city.landmark, city.known_for, city.river or "", *city.language),
        )
        for name in (city.name, *city.also):
            assert not [text for text in texts if f" {core(name)} " in f" {core(text)} "]


def test_each_continent_has_cities() -> None:
    counts = Counter(city.continent for city in city_table().cities.values())
    assert len(counts) == 6
    assert min(counts.values()) >= 5


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Which continent is it on?", "It is in Europe."),
        ("what languages do they speak there", "People speak French there."),
        ("So, what river runs through it?", "It lies on the Seine."),
        ("How many people live there?", "About 2.1 million people live there."),
        ("What country is it in?", COUNTRY),
        ("Is it in France?", "Yes."),
        ("Is the city located on the continent of Europe?", "Yes."),
        ("Is it in the USA?", "No."),
        ("Is it in Wakanda?", LOST),
        ("Do people speak French there?", "Yes."),
        ("Is Mandarin spoken there?", "No."),
        ("Is it the capital of its country?", "Yes."),
        ("Is it by the sea?", "No."),
        ("Did it host the Olympics?", "Yes."),
        ("Does it have more than 2 million people?", "Yes."),
        ("Do fewer than 2.5 million people live there?", "Yes."),
        ("Are there more than 3 million inhabitants?", "No."),
        ("Is it London?", "No."),
        ("Is it Paris or London?", LOST),
        ("Is it Atlantis?", LOST),
        ("Paris!", "Yes, it is Paris."),
    ],
)
def test_what_is_answered(question: str, answer: str) -> None:
    assert said("Paris", question) == answer


def test_accents_and_other_names_are_names_as_well() -> None:
    for city, name in (("Sao Paulo", "São Paulo"), ("Bogota", "Bogotá"), ("Mumbai", "Bombay")):
        assert city_table().answer(city, f"Is it {name}?").found


def test_a_part_of_a_country_is_the_country_of_its_own_cities_only() -> None:
    assert said("Edinburgh", "Is it in Scotland?") == "Yes."
    assert said("London", "Is it in Scotland?") == "No."
    assert said("London", "Is it in the United Kingdom?") == "Yes."


def test_with_yes_no_nothing_is_told_openly() -> None:
    env = make(yes_no=True)
    env.reset(seed=0, options={"task": "Paris"})
    observation, reward, _, _, info = env.step("What is it known for?")
    assert (observation["text"], reward) == ("I answer by yes or no. Ask a yes/no question.", -1.0)
    assert info["metrics"] == {"questions": 1.0, "not_understood": 1.0}
    assert env.step("Is it in Europe?")[0]["text"] == "Yes."


@pytest.mark.parametrize("yes_no", [False, True])
def test_the_expert_finds_every_city(yes_no: bool) -> None:
    env = make(expert=True, yes_no=yes_no)
    turns: list[int] = []
    for task in range(len(env.tasks)):
        _, info = env.reset(seed=0, options={"task": task})
        ended = False
        while not ended:
            _, _, ended, truncated, info = env.step(info["expert_action"])
            assert not truncated
            assert info["action_error"] is None
        turns.append(info["turn"])
    assert max(turns) <= 11
    assert sum(turns) / len(turns) == pytest.approx(7.44, abs=0.1)  # the page says 7.4


def test_the_expert_makes_use_of_open_answers() -> None:
    env = make(expert=True)
    env.reset(seed=0, options={"task": "Cairo"})
    *_, info = env.step("What landmarks does it have?")
    assert info["expert_action"] == "Is it Cairo?"


def test_fewer_cities_are_a_smaller_game() -> None:
    assert len(make(cities=8).tasks) == 8
    assert make(cities=["Rome", "Cairo"]).tasks[1].id == "Cairo"
    with pytest.raises(UnknownNameError, match="Atlantis"):
        make(cities=["Atlantis"])


def test_two_cities_of_one_name_are_refused() -> None:
    rome = city_table().cities["Rome"]
    other = city_table().cities["Cairo"]
    with pytest.raises(DataError, match="stands for"):
        CityTable([rome, type(other)(**{**_fields(other), "also": ("Rome",)})])


def _fields(city: Any) -> dict[str, Any]:
    return {name: getattr(city, name) for name in type(city).__slots__}
