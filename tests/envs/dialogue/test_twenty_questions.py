"""Twenty Questions: the table holds together, the rules are kept, the expert finds everything."""

import pickle
from collections import Counter
from typing import Any

import pytest

import agentgym
from agentgym.envs.dialogue import TwentyQuestionsEnv
from agentgym.envs.dialogue.oracle import Answer
from agentgym.envs.dialogue.twenty_questions.objects import ObjectTable, Thing, object_table
from agentgym.errors import DataError, UnknownNameError, UsageError
from agentgym.stop_reason import StopReason

ID = "agentgym/TwentyQuestions-v0"
IMPLIED = {
    "animal": ("mammal", "bird", "insect", "pet", "farm", "wild", "eats_meat"),
    "alive": ("animal", "plant"),
    "food": ("fruit", "vegetable", "baked"),
    "made": ("furniture", "clothing", "vehicle", "appliance", "electric", "music", "toy", "tool"),
    "worn": ("clothing", "jewellery", "feet"),
    "electric": ("appliance", "screen"),
    "kitchen": ("food", "drink"),
}
APART = [("animal", "made"), ("food", "metal"), ("hand", "big"), ("alive", "electric")]


def make(**options: Any) -> TwentyQuestionsEnv:
    env = agentgym.make(ID, **options)
    assert isinstance(env, TwentyQuestionsEnv)
    return env


def test_the_table_says_of_each_object_what_it_says_of_no_other() -> None:
    things = object_table().things.values()
    signatures = Counter(thing.attributes for thing in things)
    assert len(things) == 202
    assert max(signatures.values()) == 1


@pytest.mark.parametrize("general", IMPLIED)
def test_what_follows_from_an_attribute_is_said_as_well(general: str) -> None:
    missing = [
        thing.name
        for thing in object_table().things.values()
        if thing.attributes & set(IMPLIED[general]) and general not in thing.attributes
    ]
    assert missing == []


@pytest.mark.parametrize(("one", "other"), APART)
def test_what_excludes_each_other_is_never_said_of_one_object(one: str, other: str) -> None:
    both = [t.name for t in object_table().things.values() if {one, other} <= t.attributes]
    assert both == []


def test_every_attribute_is_true_of_some_and_false_of_more() -> None:
    things = object_table().things.values()
    counts = Counter(attribute for thing in things for attribute in thing.attributes)
    assert len(counts) == len(object_table().questions)
    assert min(counts.values()) >= 3
    assert max(counts.values()) < len(things)


def test_a_table_that_contradicts_itself_is_refused() -> None:
    dog = Thing("dog", (), frozenset({"alive"}))
    with pytest.raises(DataError, match="no question asks for"):
        ObjectTable({}, [dog])
    with pytest.raises(DataError, match="stands for"):
        ObjectTable({"alive": ["Is it alive?"], "living": ["Is it usually alive?"]}, [dog])
    with pytest.raises(DataError, match="stands for"):
        ObjectTable({"alive": ["Is it alive?"]}, [dog, Thing("hound", ("dog",), frozenset())])
    with pytest.raises(DataError, match="at once"):
        ObjectTable({"alive": ["Is it alive?", "Is it a dog?"]}, [dog])


def test_the_expert_finds_every_object() -> None:
    env = make(expert=True)
    turns: list[int] = []
    for task in range(len(env.tasks)):
        _, info = env.reset(seed=0, options={"task": task})
        total, ended = 0.0, False
        while not ended:
            _, reward, ended, truncated, info = env.step(info["expert_action"])
            assert not truncated
            total += reward
        assert total == 1 - info["turn"]
        turns.append(info["turn"])
    assert max(turns) <= 12
    assert sum(turns) / len(turns) == pytest.approx(8.55, abs=0.1)  # the README says 8.6


def test_the_expert_goes_on_from_questions_that_were_not_its_own() -> None:
    env = make(expert=True)
    _, info = env.reset(seed=0, options={"task": "penguin"})
    for question in ("What colour is it?", "Is it a bird?", "Is it a duck?", "Can it fly?"):
        _, _, _, _, info = env.step(question)
    ended = False
    while not ended:
        _, _, ended, _, info = env.step(info["expert_action"])
    assert info["turn"] <= 8  # of the eight birds, penguin and chicken don't fly


def test_a_game_that_is_not_won_is_truncated() -> None:
    env = make(max_turns=3)
    env.reset(seed=0, options={"task": "dog"})
    rewards = [env.step("Is it a cat?")[1] for _ in range(2)]
    _, reward, terminated, truncated, info = env.step("Is it a cat?")
    assert (*rewards, reward) == (-1.0, -1.0, -1.0)
    assert (terminated, truncated, info["stop_reason"]) == (False, True, StopReason.TURN_LIMIT)
    assert info["metrics"] == {"questions": 3.0, "not_understood": 0.0}


@pytest.mark.parametrize("guess", ["Is it a dog?", "dog", "A puppy!", "Could it be the hound?"])
def test_any_name_of_the_object_ends_the_game(guess: str) -> None:
    env = make()
    env.reset(seed=0, options={"task": "dog"})
    _, reward, terminated, _, info = env.step(guess)
    assert (reward, terminated, info["success"]) == (0.0, True, True)


@pytest.mark.parametrize("question", ["", "Is it a dog or a cat?", "dog cat horse", "Why?", "yes"])
def test_what_is_not_understood_costs_a_turn(question: str) -> None:
    env = make()
    env.reset(seed=0, options={"task": "dog"})
    _, reward, terminated, _, info = env.step(question)
    assert (reward, terminated) == (-1.0, False)
    assert info["action_error"]


def test_fewer_words_are_a_smaller_game() -> None:
    few = make(words=16)
    assert len(few.tasks) == 16
    kinds = [
        next((kind for kind in ("animal", "food", "worn") if kind in thing.attributes), "thing")
        for thing in (object_table().things[few.tasks[i].id] for i in range(16))
    ]
    assert len(set(kinds)) >= 3
    assert [make(words=["dog", "cat"]).tasks[i].id for i in range(2)] == ["dog", "cat"]
    with pytest.raises(UnknownNameError, match="dgo"):
        make(words=["dgo"])
    for words in (0, 203, [], ["dog", "dog"]):
        with pytest.raises(UsageError, match="object"):
            make(words=words)


def test_another_oracle_answers_in_the_place_of_the_table() -> None:
    class Contrary:
        def answer(self, secret: str, question: str) -> Answer:
            return Answer(f"{question} No.", found=question == "stop")

    env = make(oracle=Contrary())
    env.reset(seed=0)
    assert env.step("Is it big?")[0]["text"] == "Is it big? No."
    assert env.step("stop")[2]


def test_an_environment_can_be_sent_to_another_process() -> None:
    env = pickle.loads(pickle.dumps(make(words=4)))
    assert env.reset(seed=1)[0]["text"] == "I am thinking of an object. What is it?"
