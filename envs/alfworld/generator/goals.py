"""The six task types: which goals make sense where, how they are said and how they are checked.

A goal names kinds, never single objects: "put a clean apple in fridge" is met by any apple and any
fridge. The phrases are the ones that ALFWorld writes into its games; the conditions are written for
our domain and hold on ALFWorld's as well. In scenes that training uses, one goal in eight is kept
for valid_seen, so that no game of that split asks for anything that training asked for in that
scene.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from agentgym.envs.alfworld.generator.scenes import Room, Scene, Split, Stock
from agentgym.envs.alfworld.generator.vocabulary import OBJECTS, RECEPTACLES, Affordance, fits


class TaskType(Enum):
    """ALFWorld's task types; the values are the names in its data."""

    PICK = "pick_and_place_simple"
    LOOK = "look_at_obj_in_light"
    CLEAN = "pick_clean_then_place_in_recep"
    HEAT = "pick_heat_then_place_in_recep"
    COOL = "pick_cool_then_place_in_recep"
    PICK_TWO = "pick_two_obj_and_place"

    @property
    def rooms(self) -> tuple[Room, ...]:
        """The rooms in which ALFRED sets such tasks."""
        return _ROOMS[self]

    @property
    def treatment(self) -> "Treatment | None":
        """What is done to the object on its way, if anything."""
        return _TREATMENTS.get(self)

    @property
    def needed(self) -> int:
        """How many objects the goal asks for."""
        return 2 if self is TaskType.PICK_TWO else 1


@dataclass(frozen=True, slots=True)
class Treatment:
    """A change to an object: the verb, what makes it possible, where, and its mark."""

    verb: str
    affordance: Affordance
    appliance: str
    predicate: str


_ROOMS = {
    TaskType.PICK: tuple(Room),
    TaskType.LOOK: (Room.LIVING_ROOM, Room.BEDROOM),
    TaskType.CLEAN: (Room.KITCHEN, Room.BATHROOM),
    TaskType.HEAT: (Room.KITCHEN,),
    TaskType.COOL: (Room.KITCHEN,),
    TaskType.PICK_TWO: tuple(Room),
}

_TREATMENTS = {
    TaskType.CLEAN: Treatment("clean", Affordance.CLEAN, "SinkBasin", "isClean"),
    TaskType.HEAT: Treatment("heat", Affordance.HEAT, "Microwave", "isHot"),
    TaskType.COOL: Treatment("cool", Affordance.COOL, "Fridge", "isCool"),
}

_PHRASES = {
    TaskType.PICK: ("put a {obj} in {place}", "put some {obj} on {place}"),
    TaskType.LOOK: ("look at {obj} under the {place}", "examine the {obj} with the {place}"),
    TaskType.CLEAN: ("put a clean {obj} in {place}", "clean some {obj} and put it in {place}"),
    TaskType.HEAT: ("put a hot {obj} in {place}", "heat some {obj} and put it in {place}"),
    TaskType.COOL: ("put a cool {obj} in {place}", "cool some {obj} and put it in {place}"),
    TaskType.PICK_TWO: ("put two {obj} in {place}", "find two {obj} and put them in {place}"),
}

_HELD_OUT = 8  # one goal in so many is kept for valid_seen


@dataclass(frozen=True, slots=True)
class Goal:
    """What a game asks for.

    Attributes:
        task_type: Which of the six.
        object_kind: The kind of the object or objects, "Apple".
        place_kind: The kind of receptacle that they go to; for LOOK the kind of lamp.
    """

    task_type: TaskType
    object_kind: str
    place_kind: str

    @property
    def phrases(self) -> tuple[str, ...]:
        """The ways to say it."""
        words = {"obj": self.object_kind.lower(), "place": self.place_kind.lower()}
        return tuple(phrase.format(**words) for phrase in _PHRASES[self.task_type])

    @property
    def condition(self) -> str:
        """The goal as a PDDL formula."""
        if self.task_type is TaskType.LOOK:
            return f"""(and
        (exists (?a - agent ?o - object)
            (and (objectType ?o {self.object_kind}Type) (holds ?a ?o)))
        (exists (?lamp - object ?r - receptacle ?a - agent ?l - location)
            (and (objectType ?lamp {self.place_kind}Type) (isToggled ?lamp) (inReceptacle ?lamp ?r)
                (receptacleAtLocation ?r ?l) (atLocation ?a ?l))))"""
        place = f"(receptacleType ?r {self.place_kind}Type)"
        if self.task_type is TaskType.PICK_TWO:
            return f"""(exists (?r - receptacle ?o1 - object ?o2 - object)
        (and {place} (not (= ?o1 ?o2))
            (objectType ?o1 {self.object_kind}Type) (inReceptacle ?o1 ?r)
            (objectType ?o2 {self.object_kind}Type) (inReceptacle ?o2 ?r)))"""
        treatment = self.task_type.treatment
        treated = f" ({treatment.predicate} ?o)" if treatment else ""
        return f"""(exists (?r - receptacle ?o - object)
        (and {place} (objectType ?o {self.object_kind}Type) (inReceptacle ?o ?r){treated}))"""


def goals(scene: Scene, task_type: TaskType, split: Split) -> tuple[Goal, ...]:
    """Return every goal of a type that games of a split may set in a scene.

    Each can be reached from wherever `furnish` puts the objects: the kinds it names are in the
    room, the object fits where it goes, there is an appliance for what must be done to it, and
    there are other places for it to start from.
    """
    if scene.room not in task_type.rooms:
        return ()
    found = _look_goals(scene) if task_type is TaskType.LOOK else _place_goals(scene, task_type)
    if split is Split.VALID_UNSEEN:
        return tuple(found)
    wanted = split is Split.VALID_SEEN
    return tuple(goal for goal in found if _held_out(scene, goal) is wanted)


def _held_out(scene: Scene, goal: Goal) -> bool:
    key = f"{scene.number} {goal.task_type.value} {goal.object_kind} {goal.place_kind}"
    return zlib.crc32(key.encode()) % _HELD_OUT == 0


def _look_goals(scene: Scene) -> Iterator[Goal]:
    lamps = [row.kind for row in scene.stock if Affordance.TOGGLE in OBJECTS[row.kind].affordances]
    for row in scene.stock:
        if _movable(row) and _starting_places(scene, row.kind, ""):
            for lamp in lamps:
                if _starting_places(scene, lamp, ""):
                    yield Goal(TaskType.LOOK, row.kind, lamp)


def _place_goals(scene: Scene, task_type: TaskType) -> Iterator[Goal]:
    treatment = task_type.treatment
    present = dict.fromkeys(item.kind for item in scene.furniture)
    if treatment and treatment.appliance not in present:
        return
    for row in scene.stock:
        if not _movable(row) or row.most < task_type.needed:
            continue
        if treatment and treatment.affordance not in OBJECTS[row.kind].affordances:
            continue
        for place in present:
            if not fits(row.kind, place) or RECEPTACLES[place].capacity < task_type.needed:
                continue
            if treatment and place == treatment.appliance:
                continue
            if _starting_places(scene, row.kind, place) >= task_type.needed:
                yield Goal(task_type, row.kind, place)


def _movable(row: Stock) -> bool:
    return Affordance.PICK in OBJECTS[row.kind].affordances


def _starting_places(scene: Scene, object_kind: str, avoid: str) -> int:
    """Count how many such objects may start in a scene outside one kind of receptacle."""
    weights = OBJECTS[object_kind].places
    return sum(
        RECEPTACLES[item.kind].capacity
        for item in scene.furniture
        if item.kind != avoid and weights.get(item.kind, 0)
    )
