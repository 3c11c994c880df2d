"""Phrases that are always written word for word become one token; names and numbers never do."""

from collections import Counter

from agentgym.models.phrases import fixed_phrases
from agentgym.models.tiny import tiny_tokenizer

NAMES = ("desk", "bed", "sofa", "shelf", "drawer", "cabinet", "sink", "stove")


def words(text: str) -> tuple[str, ...]:
    first, *rest = text.split(" ")
    return (first, *(f" {word}" for word in rest))


def test_what_hardly_occurs_apart_is_joined() -> None:
    texts = Counter(
        words(f"You arrive at {name} {number} . You see a mug {number} .")
        for name in NAMES
        for number in range(1, 6)
    )
    # "You see a mug" is as fixed here as "You arrive at"; a name could be any, a number any digit.
    assert fixed_phrases(texts, least=30) == {"You arrive at": 40, " . You see a mug": 40}


def test_a_number_is_never_joined() -> None:
    # Every name has the number 1 here, yet a "desk 2" has to begin with the same token.
    texts = {words(f"{verb} {name} 1"): 30 for name in NAMES for verb in ("go to", "open")}
    assert fixed_phrases(texts, least=30) == {"go to": 240}


def test_words_that_part_are_not_joined() -> None:
    apart = {words("take mug"): 90, words("take cup"): 10, words("clean mug"): 10}
    assert fixed_phrases(apart, least=30, sure=0.95) == {}
    assert fixed_phrases(apart, least=30, sure=0.9) == {"take mug": 90}


def test_rare_phrases_are_left_alone() -> None:
    assert fixed_phrases({words("It is dark here"): 29}, least=30) == {}
    assert fixed_phrases({words("It is dark here"): 30}, least=30) == {"It is dark here": 30}
    assert fixed_phrases({}) == {}


def test_the_tokenizer_writes_a_phrase_as_one_token_and_its_words_elsewhere() -> None:
    texts = [f"You arrive at {name} {n}. It is closed." for name in NAMES for n in range(1, 6)]
    tokenizer = tiny_tokenizer(texts)
    assert tokenizer.tokenize("You arrive at sofa 3. It is closed.") == [
        "YouĠarriveĠat",
        "Ġsofa",
        "Ġ3",
        ".ĠItĠisĠclosed.",
    ]
    assert tokenizer.tokenize("You at") == ["You", "Ġat"]
