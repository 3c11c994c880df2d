"""The expert with an oracle that contradicts the table: it goes by what is likeliest, and ends."""

from typing import Any

import pytest

import agentgym
from agentgym.envs.dialogue.expert import Questioner
from agentgym.envs.dialogue.guess_my_city.cities import city_table
from agentgym.envs.dialogue.oracle import Answer, Table
from agentgym.envs.dialogue.table import NO, YES
from agentgym.envs.dialogue.twenty_questions.objects import ObjectTable, Thing, object_table
from agentgym.seeding import stable_seed

ID = "agentgym/GuessMyCity-v0"
THINGS = [
    Thing("dog", (), frozenset({"alive", "barks"})),
    Thing("cat", (), frozenset({"alive"})),
    Thing("tree", (), frozenset({"alive", "green"})),
    Thing("stone", (), frozenset()),
]
ASKED = {
    "alive": ["Is it alive?"],
    "barks": ["Does it bark?"],
    "green": ["Is it green?"],
}


def questioner() -> Questioner:
    table = ObjectTable(ASKED, THINGS)
    return Questioner(table, [one.name for one in THINGS], table.questions, "Is it a {}?".format)


def test_what_fits_is_left() -> None:
    assert questioner().left([("Is it alive?", YES), ("Is it green?", NO)]) == ("dog", "cat")
    assert questioner().left([("Is it alive?", "Yes, and it is well.")]) == ("dog", "cat", "tree")


def test_where_nothing_fits_the_likeliest_is_left() -> None:
    asked = [("Is it alive?", NO), ("Does it bark?", YES), ("Is it green?", NO)]
    assert questioner().left(asked) == ("dog", "stone")  # one answer against each


def test_a_guess_in_vain_weighs_more_than_any_answer() -> None:
    asked = [("Is it alive?", YES), ("Does it bark?", YES), ("Is it a dog?", NO)]
    assert questioner().left(asked) == ("cat", "tree")
    assert questioner().ask(asked) in ("Is it a cat?", "Is it a tree?")


def test_what_the_table_does_not_understand_speaks_against_nobody() -> None:
    asked = [("Does it smell?", YES), ("What does it say?", "Woof."), ("Is it alive?", NO)]
    assert questioner().left(asked) == ("stone",)


def test_no_question_is_asked_twice() -> None:
    asked: list[tuple[str, str]] = []
    for _ in range(7):
        question = questioner().ask(asked)
        asked.append((question, "Who knows?" if len(asked) % 2 else NO))
    questions = [question for question, _ in asked]
    assert len(set(questions)) == len(questions) == len(ASKED) + len(THINGS)


class Liar:
    """Says the contrary of the table to one question in so many; of guesses it speaks the truth."""

    def __init__(self, table: Table, one_in: int) -> None:
        self.table, self.one_in = table, one_in

    def answer(self, secret: str, question: str) -> Answer:
        said = self.table.answer(secret, question)
        lies = stable_seed(secret, question) % self.one_in == 0
        if not lies or self.table.named(question) is not None:
            return said
        return Answer({YES: NO, NO: YES}.get(said.text, said.text))


def found(env_id: str, oracle: Any, every: int = 1) -> int:
    env = agentgym.make(env_id, expert=True, oracle=oracle)
    count = 0
    for task in range(0, len(env.tasks), every):
        _, info = env.reset(seed=0, options={"task": task})
        ended = truncated = False
        while not (ended or truncated):
            _, _, ended, truncated, info = env.step(info["expert_action"])
        count += ended
    return count


@pytest.mark.parametrize(("one_in", "cities"), [(20, 98), (10, 91), (1, 0)])
def test_it_finds_most_cities_in_spite_of_lies(one_in: int, cities: int) -> None:
    assert found(ID, Liar(city_table(), one_in)) == cities  # the page gives the second


def test_it_finds_most_objects_in_spite_of_lies() -> None:
    assert found("agentgym/TwentyQuestions-v0", Liar(object_table(), 10), every=4) >= 40


def test_an_oracle_that_always_says_the_same_is_survived() -> None:
    class Same:
        def answer(self, secret: str, question: str) -> Answer:
            return Answer("What a lovely day.")

    assert found(ID, Same(), every=10) == 0
