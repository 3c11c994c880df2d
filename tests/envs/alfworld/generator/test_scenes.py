from collections import Counter

import pytest

from agentgym.envs.alfworld.generator import Room, Split
from agentgym.envs.alfworld.generator.floor_plans import floor_plan, package_folder
from agentgym.envs.alfworld.generator.scenes import scene, scene_numbers
from agentgym.envs.alfworld.generator.vocabulary import OBJECTS, RECEPTACLES, Affordance
from agentgym.errors import MissingDependencyError

NUMBERS = sorted({n for room in Room for split in Split for n in scene_numbers(room, split)})


def test_there_are_thirty_scenes_of_each_room_numbered_as_in_alfred():
    for room in Room:
        own = [n for n in NUMBERS if n // 100 * 100 == room.value]
        assert own == list(range(room.value + 1, room.value + 31))


def test_training_never_shows_an_unseen_scene():
    for room in Room:
        train = set(scene_numbers(room, Split.TRAIN))
        assert set(scene_numbers(room, Split.VALID_SEEN)) == train
        assert len(train) == 24
        assert not train & set(scene_numbers(room, Split.VALID_UNSEEN))


@pytest.mark.parametrize("source", ["ours", "floor plans"])
def test_a_scene_is_made_of_known_things(source: str):
    if source == "floor plans":
        pytest.importorskip("alfworld")
    for number in NUMBERS:
        made = scene(number) if source == "ours" else floor_plan(number)
        assert {item.kind for item in made.furniture} <= RECEPTACLES.keys()
        assert {row.kind for row in made.stock} <= OBJECTS.keys()
        assert all(1 <= row.fewest <= row.most for row in made.stock)
        assert len(made.furniture) >= 6


def test_rooms_differ():
    assert len({scene(n).furniture for n in NUMBERS}) > 100


def test_kitchens_can_heat_cool_and_clean_and_the_others_have_a_lamp():
    for number in NUMBERS:
        made = scene(number)
        if made.room is Room.KITCHEN:
            kinds = Counter(item.kind for item in made.furniture)
            assert kinds["Fridge"] == kinds["Microwave"] == kinds["SinkBasin"] == 1
        if made.room in (Room.LIVING_ROOM, Room.BEDROOM):
            affordances = [OBJECTS[row.kind].affordances for row in made.stock]
            assert any(Affordance.TOGGLE in these for these in affordances)


def test_floor_plans_keep_the_ids_and_poses_of_the_plan():
    pytest.importorskip("alfworld")
    fridge = next(item for item in floor_plan(1).furniture if item.kind == "Fridge")
    assert fridge.id == "Fridge_bar__minus_02_dot_10_bar__plus_00_dot_00_bar__plus_01_dot_09"
    assert fridge.location == "loc_bar__minus_4_bar_4_bar_3_bar_0"


def test_without_alfworld_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    def nothing(name: str) -> None:
        return None

    package_folder.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", nothing)
    with pytest.raises(MissingDependencyError, match=r"pip install 'agentgym-suite\[alfworld\]'"):
        package_folder()
