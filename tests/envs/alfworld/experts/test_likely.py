"""The search: what finds most per command first, the rest in a stable order, then again."""

from agentgym.envs.alfworld.experts.belief import Belief
from agentgym.envs.alfworld.experts.likely import Search, look_into

ROOM = (
    "Looking quickly around you, you see a cabinet 1, a cabinet 2, a drawer 2, a drawer 1, a "
    "countertop 1, a garbagecan 1, and a toilet 1."
)


def searched(belief: Belief, search: Search, kind: str) -> list[str]:
    order: list[str] = []
    while not all(place.seen for place in belief.places.values()):
        place = search.best(kind)
        place.seen = True
        order.append(place.name)
    return order


def test_likely_places_come_first_and_all_come_once():
    belief = Belief(ROOM, [])
    order = searched(belief, Search(belief, "toilet"), "fork")
    assert order[:3] == ["countertop 1", "drawer 1", "drawer 2"]
    assert sorted(order) == sorted(belief.places)
    assert order[-1] == "toilet 1", "nobody asks for a fork where the fork is already"


def test_an_unknown_kind_may_be_anywhere():
    belief = Belief(ROOM, [])
    order = searched(belief, Search(belief, "toilet"), "gramophone")
    assert order[:2] == ["countertop 1", "garbagecan 1"]
    assert sorted(order) == sorted(belief.places)


def test_what_is_here_costs_less():
    belief = Belief(ROOM, [])
    belief.places["countertop 1"].seen = True
    search = Search(belief, "toilet")
    assert search.best("spoon").name == "drawer 1"
    belief.spot = belief.places["drawer 2"].spot
    assert search.best("spoon").name == "drawer 2"


def test_when_everything_was_seen_it_begins_again():
    belief = Belief(ROOM, [])
    search = Search(belief, "toilet")
    first = searched(belief, search, "fork")
    assert search.best("fork").name == first[0]
    assert not any(place.seen for place in belief.places.values())


def test_looking_is_going_then_opening_or_examining():
    belief = Belief(ROOM, [])
    drawer, top = belief.places["drawer 1"], belief.places["countertop 1"]
    assert look_into(drawer, belief) == "go to drawer 1"
    belief.spot = drawer.spot
    assert look_into(drawer, belief) == "open drawer 1"
    top.spot = drawer.spot
    assert look_into(top, belief) == "examine countertop 1"
