"""Goals: written and read back, within reach, and none in two splits."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.envs.shop.catalogue import Catalogue
from agentgym.envs.shop.goals import Goal, Goals, Wish
from agentgym.envs.shop.product import Product
from agentgym.envs.shop.reward import score
from agentgym.errors import DataError, UnknownNameError, UsageError
from agentgym.task import Task

SHOP = Catalogue.generated(300)
PHRASES = st.text("abc de-1", min_size=1, max_size=9).map(str.strip).filter(bool)


@given(
    PHRASES,
    st.lists(PHRASES, max_size=3),
    st.dictionaries(PHRASES, PHRASES, max_size=3),
    st.none() | st.integers(0, 10**5),
)
def test_a_wish_reads_back_as_it_was_written(
    kind: str, attributes: list[str], options: dict[str, str], cents: int | None
) -> None:
    wish = Wish(kind, tuple(attributes), options, None if cents is None else cents / 100)
    assert Wish.read(wish.written()) == wish


@pytest.mark.parametrize("split", ["train", "valid"])
def test_goals_say_what_their_product_has(split: str) -> None:
    goals = Goals(SHOP, split)
    for index in range(300):
        goal = goals.goal(index)
        wish, product = goal.wish, goal.product
        assert Wish.read(goal.text) == wish
        assert wish.kind == product.kind
        assert 1 <= len(wish.attributes) <= 3
        assert set(wish.attributes) <= set(product.attributes)
        assert all(value in product.options[name] for name, value in wish.options.items())
        assert wish.price_limit is not None
        assert product.price < wish.price_limit
        assert score(goal, product, wish.options).reward == 1
        assert Goal.of(goals[index], SHOP) == goal


def test_splits_have_no_goal_in_common() -> None:
    def wanted(split: str) -> set[tuple[object, ...]]:
        wishes = (Goals(SHOP, split).goal(index).wish for index in range(1500))
        return {
            (wish.kind, frozenset(wish.attributes), frozenset(wish.options.items()))
            for wish in wishes
        }

    assert wanted("train").isdisjoint(wanted("valid"))


def test_goals_stay_as_they_are() -> None:
    # Whoever changes what is wanted makes a new version of the environment.
    texts = [Goals(SHOP, split)[n].goal for split in ("train", "valid") for n in range(100)]
    assert hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16] == "066d484582e431bd"


def test_goals_are_found_by_their_ids() -> None:
    goals = Goals(SHOP, "valid", 20)
    assert (len(goals), len(Goals(SHOP, "train")), len(Goals(SHOP, "valid"))) == (20, 10_000, 500)
    assert goals[7].id == "valid/7"
    assert goals[7] == goals[7]
    assert goals.find("valid/7") == 7
    for unknown in ("train/7", "valid/20", "valid/07", "valid/x", "valid", "", "valid/٣"):
        with pytest.raises(UnknownNameError, match="task"):
            goals.find(unknown)
    with pytest.raises(UnknownNameError, match="split 'test'"):
        Goals(SHOP, "test")
    with pytest.raises(UsageError, match="goals must be a whole number from 1"):
        Goals(SHOP, "train", 0)


def test_a_catalogue_without_goals_is_refused() -> None:
    bare = Product("a", "Mug", "mug", 1)
    with pytest.raises(DataError, match="attributes"):
        Goals(Catalogue([bare]), "train")
    one = Catalogue([replace(bare, attributes=("red",))])
    assert "mug, red, for at most $" in Goals(one, "valid")[0].goal
    with pytest.raises(DataError, match="too small to have goals in the split 'train'"):
        Goals(one, "train")  # its only goal is one of the others


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "there is no product None"),
        ({"product": "P99999"}, "there is no product 'P99999'"),
        ({"product": "P00001", "attributes": "red"}, "'attributes' is a list"),
        ({"product": "P00001", "options": ["red"]}, "'options' texts by name"),
        ({"product": "P00001", "price_limit": "5"}, "'price_limit' a number"),
    ],
)
def test_a_task_without_a_goal_is_refused(data: dict[str, object], says: str) -> None:
    with pytest.raises(DataError, match=says):
        Goal.of(Task("own", "Buy something.", data=data), SHOP)


def test_other_texts_ask_for_what_they_say() -> None:
    assert Wish.read("a red mug please") == Wish("a red mug please")
    assert Wish.read("") == Wish("")
