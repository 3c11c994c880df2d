"""How a model's answer is read: yes or no or neither, a fact, and nothing that says the name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.envs.dialogue.answers import fact, without, yes_or_no
from agentgym.envs.dialogue.guess_my_city.cities import city_table


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ("Yes", "Yes."),
        ("no.", "No."),
        ("**Yes**, it is an animal.", "Yes."),
        ("No, but yes in some countries", "No."),
        ("The answer is: YES!", "Yes."),
        ("<think>Is it? No, or yes?</think>\n\nNo", "No."),
        ("I was thinking.</think> yes", "Yes."),
        ("<think>Yes, since", None),
        ("There is no way to tell.", None),
        ("Yesterday", None),
        ("It is a dog", None),
        ("Unclear.", None),
        ("", None),
        ("...", None),
    ],
)
def test_an_answer_is_yes_or_no_or_none(written: str, answer: str | None) -> None:
    assert yes_or_no(written) == answer


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("It is  by the\nsea. ", "It is by the sea."),
        ("<think>Hm.</think>\nIt is cold.", "It is cold."),
        ("<think>It is Rome, so", None),
        (" \n ", None),
        ("---", None),
    ],
)
def test_a_fact_is_one_line(written: str, told: str | None) -> None:
    assert fact(written) == told


def test_a_fact_is_short() -> None:
    told = fact("It is a city with many bridges. " * 100)
    assert told is not None
    assert len(told) < 310
    assert told.endswith("…")


@pytest.mark.parametrize(
    ("name", "text", "left"),
    [
        ("Paris", "Paris is in France.", "The city is in France."),
        ("Paris", "I love paris, and PARIS's cafés.", "I love the city, and the city's cafés."),
        ("Paris", "The city of Paris lies on the Seine.", "The city lies on the Seine."),
        ("Paris", "Parisians like bread.", "The city like bread."),
        ("Paris", "It is spelt P-a-r-i-s.", "It is spelt the city."),
        ("Paris", "Pa\u200bris", "The city"),
        ("Paris", "A comparison of parishes", "A comparison of the city"),
        ("Sao Paulo", "It is São Paulo.", "It is the city."),
        ("Sao Paulo", "It is Sa\u0303o-Paulo!", "It is the city!"),
        ("New York", "New-Yorkers, NewYork, new\nyork", "The city, the city, the city"),
        ("New York", "It is in the state of York, new.", "It is in the state of York, new."),
        ("Xi'an", "Xi\u2019an it is, says President Xi and all.",
         "The city it is, says President Xi and all."),
        ("Rio", "They drink Rioja in Rio.", "They drink Rioja in the city."),
        ("Lima", "It has a mild climate.", "It has a mild climate."),
        ("Rome", "", ""),
    ],
)  # fmt: skip
def test_a_name_is_replaced(name: str, text: str, left: str) -> None:
    assert without(text, name, "the city") == left


@given(st.text(), st.sampled_from(sorted(city_table().cities)), st.text())
def test_no_text_around_it_saves_a_name(before: str, name: str, after: str) -> None:
    left = without(f"{before} {name} {after}", name, "the city")
    assert f" {name} " not in left
    assert "city" in left.lower()
