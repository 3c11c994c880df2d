import pytest

from agentgym.envs.alfworld.generator import Goal, Room, Split, TaskType
from agentgym.envs.alfworld.generator.goals import goals
from agentgym.envs.alfworld.generator.scenes import scene, scene_numbers

CASES = [(room, task_type) for task_type in TaskType for room in task_type.rooms]


@pytest.mark.parametrize(("room", "task_type"), CASES)
def test_valid_seen_asks_for_nothing_that_training_asks_for(room: Room, task_type: TaskType):
    trained, held_out = 0, 0
    for number in scene_numbers(room, Split.TRAIN):
        train = set(goals(scene(number), task_type, Split.TRAIN))
        seen = set(goals(scene(number), task_type, Split.VALID_SEEN))
        assert not train & seen
        trained += len(train)
        held_out += len(seen)
    assert 0.05 < held_out / (trained + held_out) < 0.25


@pytest.mark.parametrize(("room", "task_type"), CASES)
def test_every_unseen_scene_has_goals(room: Room, task_type: TaskType):
    for number in scene_numbers(room, Split.VALID_UNSEEN):
        assert goals(scene(number), task_type, Split.VALID_UNSEEN)


def test_a_kitchen_has_no_goals_of_another_room():
    assert goals(scene(1), TaskType.LOOK, Split.VALID_UNSEEN) == ()


def test_goals_avoid_the_appliance_itself():
    for number in scene_numbers(Room.KITCHEN, Split.TRAIN):
        for task_type in (TaskType.CLEAN, TaskType.HEAT, TaskType.COOL):
            treatment = task_type.treatment
            assert treatment is not None
            places = {goal.place_kind for goal in goals(scene(number), task_type, Split.TRAIN)}
            assert treatment.appliance not in places


def test_phrases():
    goal = Goal(TaskType.CLEAN, "ButterKnife", "SideTable")
    assert goal.phrases[0] == "put a clean butterknife in sidetable"


@pytest.mark.integration
def test_the_phrases_are_those_of_alfworld():
    library = pytest.importorskip("alfworld.gen.goal_library")
    for task_type in TaskType:
        ours = Goal(task_type, "Mug", "DeskLamp").phrases
        theirs = tuple(
            template.format(obj="mug", recep="desklamp", toggle="desklamp")
            for template in library.gdict[task_type.value]["templates"]
        )
        assert ours == theirs
