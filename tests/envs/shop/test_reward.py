"""The reward beside sums worked out by hand."""

from dataclasses import replace
from typing import Any

import pytest

from agentgym.envs.shop.goals import Goal, Wish
from agentgym.envs.shop.product import Product
from agentgym.envs.shop.reward import score

MUG = Product(
    id="mug",
    title="Orvella Leak Proof Travel Mug N31",
    kind="travel mug",
    price=20.0,
    brand="Orvella",
    path=("Kitchen", "Drinkware"),
    attributes=("leak proof", "dishwasher safe"),
    options={"color": ("navy blue", "sky blue"), "size": ("large", "x-large")},
)
BOTH = {"color": "navy blue", "size": "large"}
GOAL = Goal("", MUG, Wish("travel mug", ("leak proof", "dishwasher safe"), BOTH, 25))


def reward(product: Product, chosen: dict[str, str], **wish: Any) -> float:
    return score(replace(GOAL, wish=replace(GOAL.wish, **wish)), product, chosen).reward


@pytest.mark.parametrize(
    ("change", "chosen", "expected"),
    [
        ({}, BOTH, 1.0),  # (2 + 2 + 1) / 5
        ({}, {}, 3 / 5),  # no option chosen
        ({}, {"color": "Navy Blue"}, 4 / 5),
        ({}, {"color": "sky blue", "size": "x-large"}, 3 / 5),
        ({"price": 25.0}, BOTH, 1.0),
        ({"price": 25.01}, BOTH, 4 / 5),  # too dear
        ({"attributes": ("dishwasher safe",)}, BOTH, 1.0),  # the title names the other
        ({"attributes": ("leak proof",)}, BOTH, 4 / 5),
        ({"attributes": (), "title": "Travel Mug"}, BOTH, 3 / 5),
        ({"attributes": (), "title": "Travel Mug"}, {}, 1 / 5),
        ({"attributes": (), "title": "Travel Mug", "price": 30}, {}, 0.0),
        ({"attributes": (), "features": ("It is dishwasher-safe.",)}, BOTH, 1.0),
        ({"attributes": (), "description": "Safe in any dishwasher"}, BOTH, 4 / 5),
        ({"attributes": ("leak proof", "top rack dishwasher safe")}, BOTH, 1.0),
    ],
)
def test_parts_add_up(change: dict[str, Any], chosen: dict[str, str], expected: float) -> None:
    assert reward(replace(MUG, **change), chosen) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "factor"),
    [
        ({"title": "Travel Mug"}, 1.0),
        ({"title": "Orvella Leak Proof Desk Lamp"}, 0.0),  # brand and attributes are no nouns
        ({"title": "Desk Lamp", "kind": "travel mug"}, 0.0),  # the title decides first
        ({"title": "Beer Mug", "kind": "beer mug", "path": ()}, 1.0),  # 1 of 2 nouns
    ],
)
def test_the_type_is_a_factor(change: dict[str, Any], factor: float) -> None:
    bought = replace(MUG, **{"kind": "other", "path": (), **change})
    assert reward(bought, BOTH) == pytest.approx(factor)
    assert reward(bought, {}) == pytest.approx(factor * 3 / 5)


@pytest.mark.parametrize(
    ("nouns", "kind", "path", "factor"),
    [
        (4, "mug", (), 1.0),  # a quarter of the nouns are the same
        (5, "lamp", (), 0.5),  # a fifth, and neither kind nor shelves
        (5, "Mug", (), 1.0),
        (5, "lamp", ("Kitchen", "Drinkware", "Glass"), 1.0),
        (5, "lamp", ("Kitchen", "Lighting"), 0.5),
        (10, "mug", (), 1.0),
        (10, "lamp", (), 0.5),
        (11, "mug", ("Kitchen", "Drinkware"), 0.1),  # less than a tenth, whatever the kind
    ],
)
def test_few_nouns_in_common_weigh_less(
    nouns: int, kind: str, path: tuple[str, ...], factor: float
) -> None:
    others = ["ab", "cd", "ef", "gh", "ij", "kl", "mn", "op", "qr", "uv"]
    wanted = replace(MUG, kind="mug", title=" ".join(["Mug", *others[: nouns - 1]]))
    goal = replace(GOAL, product=wanted)
    bought = replace(MUG, kind=kind, path=path, title="Leak Proof Mug")
    assert score(goal, bought, BOTH).reward == pytest.approx(factor)


def test_a_title_without_nouns_leaves_it_to_the_kind_and_the_shelves() -> None:
    plain = replace(MUG, title="Orvella Leak Proof X5")
    goal = replace(GOAL, product=plain)
    assert score(goal, plain, BOTH).reward == 1
    assert score(goal, replace(MUG, kind="lamp", path=()), BOTH).reward == 0.5


def test_what_was_not_asked_for_is_not_counted() -> None:
    assert reward(MUG, {}, options={}) == 1  # (2 + 0 + 1) / 3
    assert reward(MUG, {}, options={}, attributes=()) == 1
    dear = replace(MUG, price=1000.0)
    assert reward(dear, {}, options={}, attributes=()) == 0
    assert reward(dear, {}, options={}, attributes=(), price_limit=None) == 1
    parts = score(replace(GOAL, wish=Wish("travel mug", (), {"color": "red"}, 30)), MUG, {})
    assert parts.metrics() == {"type_match": 1.0, "price_match": 1.0, "option_match": 0.0}
    assert reward(MUG, {}, attributes=("the",), options={}) == 1 / 2  # no word to be matched by
