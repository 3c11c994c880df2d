"""A belief is what the text says: where, what, open or closed, and what was done."""

from agentgym.envs.alfworld.experts.belief import Belief

ROOM = (
    "-= Welcome to TextWorld, ALFRED! =-\n\nYou are in the middle of a room. Looking quickly "
    "around you, you see a drawer 10, a drawer 9, a fridge 1, and a countertop 1.\n\n"
    "Your task is to: put a cool apple in countertop."
)


def begun() -> Belief:
    return Belief(ROOM, [])


def test_the_room_is_read_in_the_order_of_kinds_and_numbers():
    belief = begun()
    assert list(belief.places) == ["countertop 1", "drawer 9", "drawer 10", "fridge 1"]
    assert belief.places["countertop 1"].open
    assert not belief.places["drawer 9"].open
    assert belief.spot is None
    assert not any(place.seen for place in belief.places.values())


def test_what_the_first_text_leaves_out_can_be_walked_to():
    belief = Belief("Your task is to: put a pen in safe.", ["go to safe 1", "look"])
    assert list(belief.places) == ["safe 1"]


def test_arriving_shows_what_is_there():
    belief = begun()
    belief.observe(
        "You arrive at countertop 1. On the countertop 1, you see a apple 1, and a mug 2.", []
    )
    place = belief.places["countertop 1"]
    assert place.seen
    assert belief.spot == place.spot
    assert {name: thing.place for name, thing in belief.things.items()} == {
        "apple 1": "countertop 1",
        "mug 2": "countertop 1",
    }


def test_a_closed_place_shows_nothing_until_it_is_opened():
    belief = begun()
    place = belief.places["fridge 1"]
    belief.observe("You arrive at fridge 1. The fridge 1 is closed.", [])
    assert not place.seen
    belief.observe("You open the fridge 1. The fridge 1 is open. In it, you see nothing.", [])
    assert place.seen
    assert place.open
    belief.observe("You close the fridge 1.", [])
    assert not place.open
    assert place.seen


def test_a_place_that_turns_out_closed_is_closed():
    belief = begun()
    belief.observe("You arrive at countertop 1. The countertop 1 is closed.", [])
    assert not belief.places["countertop 1"].open


def test_things_are_followed_from_hand_to_place():
    belief = begun()
    belief.observe("You pick up the apple 1 from the countertop 1.", [])
    assert belief.held is belief.things["apple 1"]
    belief.observe("You cool the apple 1 using the fridge 1.", [])
    assert belief.things["apple 1"].marks == {"isCool"}
    belief.observe("You heat the apple 1 using the microwave 1.", [])
    assert belief.things["apple 1"].marks == {"isHot"}
    belief.observe("You clean the apple 1 using the sinkbasin 1.", [])
    assert belief.things["apple 1"].marks == {"isHot", "isClean"}
    belief.observe("You move the apple 1 to the fridge 1.", [])
    assert belief.held is None
    assert belief.things["apple 1"].place == "fridge 1"


def test_the_inventory_tells_what_is_in_the_hand():
    belief = begun()
    belief.observe("You are carrying: a apple 3.", [])
    assert belief.held is not None
    assert belief.held.name == "apple 3"


def test_a_lamp_that_was_seen_is_lit():
    belief = begun()
    belief.observe("You arrive at drawer 9. On the drawer 9, you see a desklamp 1.", [])
    belief.observe("You turn on the desklamp 1.", [])
    assert belief.things["desklamp 1"].marks == {"isToggled"}


def test_places_within_reach_share_a_spot():
    belief = begun()
    reach = ["examine drawer 9", "examine drawer 10", "examine apple 1", "look"]
    belief.observe("You arrive at drawer 10. The drawer 10 is closed.", reach)
    assert [name for name, place in belief.places.items() if belief.is_here(place)] == [
        "drawer 9",
        "drawer 10",
    ]


def test_experience_of_what_fits_beats_common_sense():
    belief = begun()
    belief.observe("You pick up the apple 1 from the fridge 1.", [])
    apple, top = belief.things["apple 1"], belief.places["countertop 1"]
    assert belief.fits(apple, top)
    belief.observe(
        "You arrive at countertop 1. On the countertop 1, you see nothing.",
        ["examine countertop 1"],
    )
    assert not belief.fits(apple, top)


def test_nonsense_teaches_nothing():
    belief = begun()
    belief.observe("Nothing happens.", ["look"])
    assert not belief.things
    assert belief.spot is None


def test_a_lost_thing_makes_its_place_worth_another_look():
    belief = begun()
    belief.observe("You arrive at countertop 1. On the countertop 1, you see a apple 1.", [])
    belief.forget("apple 1")
    assert "apple 1" not in belief.things
    assert not belief.places["countertop 1"].seen
