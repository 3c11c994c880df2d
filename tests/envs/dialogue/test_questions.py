"""What is taken off a question, and what is left of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.envs.dialogue.questions import core


@pytest.mark.parametrize(
    "question",
    [
        "Is it an animal?",
        "is it animals",
        "So, is it usually some kind of animal?",
        "Okay - could you tell me if it is an animal?",
        "Is the object considered an animal?",
        "It's an animal!",
        "IS THE THING YOU ARE THINKING OF A TYPE OF ANIMAL???",
    ],
)
def test_questions_that_say_the_same(question: str) -> None:
    assert core(question) == "is it animal"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Is it a dog?", "Is it a cat?"),
        ("Can it fly?", "Is it a fly?"),
        ("Is it bigger than a person?", "Is a person bigger than it?"),
        ("Is it glass?", "Is it gas?"),
        ("Is it not an animal?", "Is it an animal?"),
        ("Does it weigh 1.5 tons?", "Does it weigh 15 tons?"),
    ],
)
def test_questions_that_say_something_else(one: str, other: str) -> None:
    assert core(one) != core(other)


@given(st.text())
def test_any_text_has_a_core_of_plain_words(text: str) -> None:
    left = core(text)
    assert left == " ".join(left.split())
    assert all(char.isascii() and (char.isalnum() or char in ". ") for char in left)


@given(st.sampled_from(["Is it an apple?", "Does it fly?"]), st.sampled_from(["so", "ok", "hmm"]))
def test_an_opening_changes_nothing(question: str, opening: str) -> None:
    assert core(f"{opening}, {question}") == core(question)


def test_nothing_is_left_of_what_is_too_long_for_a_question() -> None:
    assert core("so " * 100 + "is it an animal?") == ""
