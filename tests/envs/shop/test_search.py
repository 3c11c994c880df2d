"""The search: BM25 beside a plain reading of its formula, equals in order, words that count."""

import math
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.envs.shop.catalogue import Catalogue
from agentgym.envs.shop.product import Product
from agentgym.envs.shop.search import Bm25
from agentgym.envs.shop.terms import says, terms

WORDS = st.lists(st.sampled_from("abcdefg"), max_size=8)


def plain_scores(
    documents: Sequence[Sequence[str]], query: Sequence[str], k1: float, b: float
) -> list[float]:
    mean = sum(map(len, documents)) / len(documents)
    scores: list[float] = []
    for document in documents:
        tf = Counter(document)
        total = 0.0
        for term in query:
            n = sum(term in other for other in documents)
            idf = math.log(1 + (len(documents) - n + 0.5) / (n + 0.5))
            norm = k1 * (1 - b + b * len(document) / mean) if mean else 1.0
            total += idf * tf[term] * (k1 + 1) / (tf[term] + norm) if tf[term] else 0.0
        scores.append(total)
    return scores


@given(st.lists(WORDS, min_size=1, max_size=12), WORDS, st.integers(1, 5))
def test_scores_are_those_of_the_formula(
    documents: list[list[str]], query: list[str], count: int
) -> None:
    index = Bm25(documents)
    expected = plain_scores(documents, query, 1.2, 0.75)
    assert index.scores(query).tolist() == pytest.approx(expected)
    scores = index.scores(query).tolist()
    best = sorted((n for n, one in enumerate(scores) if one > 0), key=lambda n: (-scores[n], n))
    assert index.search(query, count) == best[:count]


def test_a_score_by_hand() -> None:
    # df(tea) = 1 of 2: idf = ln(1 + 1.5 / 1.5) = ln 2; the document has 2 of on average 3 terms:
    # norm = 1.2 (0.25 + 0.75 * 2 / 3) = 0.9; tf = 1.
    index = Bm25([["tea", "pot"], ["pot", "lid", "red", "pot"]])
    assert index.scores(["tea"]).tolist() == pytest.approx([math.log(2) * 2.2 / 1.9, 0])
    other = Bm25([["tea", "pot"], ["pot", "lid", "red", "pot"]], k1=0.9, b=0)
    assert other.scores(["tea"])[0] == pytest.approx(math.log(2) * 1.9 / 1.9)


def test_equals_come_in_their_order_even_where_the_list_is_cut() -> None:
    index = Bm25([["red"]] * 5 + [["blue"]])
    assert index.search(["red"], 3) == [0, 1, 2]
    assert index.search(["red", "red", "blue"], 9) == [5, 0, 1, 2, 3, 4]
    assert index.search(["green"], 3) == []
    assert index.search([], 3) == []
    assert Bm25([[], []]).search(["red"], 1) == []


def test_case_plurals_and_little_words_make_no_difference() -> None:
    assert terms("The Mugs, for a BUS-driver's glass & 12 Boxes") == [
        *("mug", "bus", "driver", "s", "glass", "12", "boxe"),
    ]
    assert says("A leak-proof mug", "Leak Proof")
    assert says("two mugs", "mug")
    assert not says("proof of a leak", "leak proof")
    assert not says("string", "ring")
    assert not says("anything", "the")


def test_a_product_is_found_by_whatever_its_pages_say() -> None:
    shop = Catalogue(
        [
            Product("a", "Plain thing", "mug", 1, options={"color": ("teal",)}),
            Product("b", "Other thing", "lamp", 2, features=("Very bright.",)),
            Product("c", "Third thing", "rug", 3, description="Woven by hand.", brand="Orvella"),
            Product("d", "Last thing", "hat", 4, attributes=("fireproof",)),
        ]
    )
    asked = ("teal mug", "bright", "woven", "orvella", "lamp", "fireproof")
    assert [[one.id for one in shop.search(query, 5)] for query in asked] == [
        *(["a"], ["b"], ["c"], ["c"], ["b"]),
        [],  # what is true of it is not searched, only what is said
    ]
    assert [one.id for one in shop.search("thing", 5)] == ["d", "a", "b", "c"]
    assert shop.find("A") is shop.products[0]
    assert shop.find("e") is None


def test_only_the_first_words_of_an_endless_query_count() -> None:
    shop = Catalogue([Product("a", "mug", "mug", 1), Product("b", "lamp", "lamp", 1)])
    assert [one.id for one in shop.search("mug " * 64 + "lamp", 5)] == ["a"]
