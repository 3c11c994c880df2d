import pytest

from agentgym.envs.alfworld.generator import fits, likely_places
from agentgym.envs.alfworld.generator.vocabulary import OBJECTS, RECEPTACLES, Affordance
from agentgym.errors import UnknownNameError


def test_every_place_is_a_receptacle():
    for kind in OBJECTS.values():
        assert kind.places.keys() <= RECEPTACLES.keys(), kind.name


def test_every_object_is_kept_somewhere():
    for kind in OBJECTS.values():
        assert sum(kind.places.values()) > 0, kind.name


def test_likely_places_are_shares_in_descending_order():
    for name in OBJECTS:
        weights = [place.weight for place in likely_places(name)]
        assert sum(weights) == pytest.approx(1)
        assert weights == sorted(weights, reverse=True)
        assert all(weights)


def test_likely_places_takes_the_words_of_the_text():
    assert likely_places("butterknife") == likely_places("ButterKnife")
    best = {place.receptacle_type for place in likely_places("butterknife")[:2]}
    assert best == {"countertop", "drawer"}


def test_what_fits_without_being_kept_there_is_no_likely_place():
    assert fits("Apple", "CoffeeTable")
    assert "coffeetable" not in {place.receptacle_type for place in likely_places("apple")}


def test_an_unknown_kind_is_named_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"'butterknif'.*'butterknife'"):
        likely_places("butterknif")


@pytest.mark.integration
def test_the_facts_are_those_of_alfworld():
    constants = pytest.importorskip("alfworld.gen.constants")
    # Movable receptacles hold nothing in text games; sliced things and paper rolls are left out.
    theirs: dict[str, set[str]] = {}
    for place, objects in constants.VAL_RECEPTACLE_OBJECTS.items():
        if place not in constants.MOVABLE_RECEPTACLES:
            for name in objects:
                if "Sliced" not in name and name != "ToiletPaperRoll":
                    theirs.setdefault(name, set()).add(place)
    ours = {k.name: set(k.places) for k in OBJECTS.values() if Affordance.PICK in k.affordances}
    assert ours == theirs

    doable = {
        Affordance.HEAT: constants.VAL_ACTION_OBJECTS["Heatable"],
        Affordance.COOL: constants.VAL_ACTION_OBJECTS["Coolable"],
        Affordance.CLEAN: constants.VAL_ACTION_OBJECTS["Cleanable"],
        Affordance.SLICE: constants.VAL_ACTION_OBJECTS["Sliceable"],
        Affordance.TOGGLE: constants.VAL_ACTION_OBJECTS["Toggleable"],
        Affordance.CONTAIN: constants.MOVABLE_RECEPTACLES,
    }
    for affordance, names in doable.items():
        mine = {kind.name for kind in OBJECTS.values() if affordance in kind.affordances}
        assert mine == {name for name in names if "Sliced" not in name}, affordance
    openable = {kind.name for kind in RECEPTACLES.values() if kind.openable}
    assert openable == set(constants.OPENABLE_CLASS_LIST) & RECEPTACLES.keys()
