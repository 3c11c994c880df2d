"""One game's room: which receptacles stand in it and where every object is at the start.

`furnish` puts the goal's objects down first, anywhere likely except where they are to go, then
picks the receptacles of the room (all, or as many as the difficulty allows, always with what the
goal needs), then fills the room with other things by the same likelihoods.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from agentgym.envs.alfworld.generator.difficulty import Difficulty
from agentgym.envs.alfworld.generator.goals import Goal, TaskType
from agentgym.envs.alfworld.generator.scenes import Scene
from agentgym.envs.alfworld.generator.vocabulary import OBJECTS, RECEPTACLES
from agentgym.envs.dice import Dice

START = "loc_bar_00"
"""Where the agent begins: a spot away from every receptacle."""


@dataclass(frozen=True, slots=True)
class Receptacle:
    """A receptacle of a game: its id in the game file, its name in the text, kind and location."""

    id: str
    name: str
    kind: str
    location: str

    @property
    def openable(self) -> bool:
        """Whether it is closed at the start."""
        return RECEPTACLES[self.kind].openable


@dataclass(frozen=True, slots=True)
class Item:
    """An object of a game: its id in the game file, name in the text, kind and starting place."""

    id: str
    name: str
    kind: str
    place: Receptacle


@dataclass(frozen=True, slots=True)
class World:
    """A furnished room with a goal. The goal's objects are the first of their kind in `items`."""

    scene: int
    goal: Goal
    receptacles: tuple[Receptacle, ...]
    items: tuple[Item, ...]


def furnish(scene: Scene, goal: Goal, difficulty: Difficulty, dice: Dice) -> World:
    """Set up a game's room.

    Args:
        scene: The room.
        goal: One of `goals(scene, …)`.
        difficulty: How much of the room there is.
        dice: Decides what the arguments leave open.
    """
    room = _Room(scene, goal, dice)
    for _ in range(goal.task_type.needed):
        room.put(goal.object_kind)
    if goal.task_type is TaskType.LOOK:
        room.put(goal.place_kind)
    room.close_some([room.any_of(kind) for kind in _needed_kinds(goal)], difficulty.receptacles)
    for kind in dice.shuffled(_others(scene, room.count, dice)):
        if difficulty.objects is not None and len(room.placed) >= difficulty.objects:
            break
        room.put(kind)

    receptacles = _name_receptacles(scene, room.open)
    seen: Counter[str] = Counter()
    items: list[Item] = []
    for put in room.placed:
        seen[put.kind] += 1
        name = f"{put.kind.lower()} {room.count[put.kind] - seen[put.kind] + 1}"
        item_id = f"{put.kind}_bar_{seen[put.kind]:02d}"
        items.append(Item(item_id, name, put.kind, receptacles[put.slot]))
    return World(scene.number, goal, tuple(receptacles.values()), tuple(items))


def _needed_kinds(goal: Goal) -> tuple[str, ...]:
    """Return the kinds of receptacles that the goal needs one of, wherever its objects lie."""
    if goal.task_type is TaskType.LOOK:
        return ()
    treatment = goal.task_type.treatment
    return (goal.place_kind, treatment.appliance) if treatment else (goal.place_kind,)


def _others(scene: Scene, already: Counter[str], dice: Dice) -> list[str]:
    """Draw how many of each kind the room has; return a kind for each that is not there already."""
    return [
        row.kind
        for row in scene.stock
        for _ in range(dice.between(row.fewest, row.most) - already[row.kind])
    ]


@dataclass(frozen=True, slots=True)
class _Put:
    kind: str
    slot: int


class _Room:
    """The slots of a scene (indices into its furniture), their space and what is put there.

    Attributes:
        open: The slots that the game has, in the scene's order.
        placed: What was put where, in that order.
        count: How many of each kind were put.
    """

    def __init__(self, scene: Scene, goal: Goal, dice: Dice) -> None:
        self._kinds = [item.kind for item in scene.furniture]
        self._space = [RECEPTACLES[kind].capacity for kind in self._kinds]
        self._goal = goal
        self._dice = dice
        self.open = list(range(len(self._kinds)))
        self.placed: list[_Put] = []
        self.count: Counter[str] = Counter()

    def any_of(self, kind: str) -> int:
        """Return one of the slots of a kind."""
        return self._dice.pick([slot for slot in self.open if self._kinds[slot] == kind])

    def close_some(self, required: Sequence[int], most: int | None) -> None:
        """Leave the required slots, those that hold something and others to make up the number."""
        if most is None:
            return
        kept = {*required, *(put.slot for put in self.placed)}
        spare = self._dice.shuffled([slot for slot in self.open if slot not in kept])
        kept.update(spare[: max(0, most - len(kept))])
        self.open = sorted(kept)

    def put(self, kind: str) -> None:
        """Put an object somewhere likely, or leave it out where no place is left for it."""
        weights = OBJECTS[kind].places
        avoid = self._goal.place_kind if kind == self._goal.object_kind else ""
        slots: dict[str, list[int]] = {}
        for slot in self.open:
            place = self._kinds[slot]
            if self._space[slot] and place != avoid and weights.get(place, 0):
                slots.setdefault(place, []).append(slot)
        if not slots:
            return
        place = self._dice.weighted(list(slots), [weights[place] for place in slots])
        slot = self._dice.pick(slots[place])
        self._space[slot] -= 1
        self.placed.append(_Put(kind, slot))
        self.count[kind] += 1


def _name_receptacles(scene: Scene, slots: Sequence[int]) -> dict[int, Receptacle]:
    """Give the kept receptacles ids and, from the order of the ids, numbers.

    ALFWorld counts down: of eight cabinets the one whose id sorts first is "cabinet 8".
    """
    by_kind: dict[str, list[int]] = {}
    for slot in slots:
        by_kind.setdefault(scene.furniture[slot].kind, []).append(slot)
    named: dict[int, Receptacle] = {}
    spot = 0
    for kind, group in by_kind.items():
        ids = [scene.furniture[slot].id or _serial_id(kind, i) for i, slot in enumerate(group, 1)]
        ranked = sorted(range(len(ids)), key=lambda i: ids[i].lower())
        for rank, i in enumerate(ranked):
            spot += 1
            location = scene.furniture[group[i]].location or f"loc_bar_{spot:02d}"
            name = f"{kind.lower()} {len(ids) - rank}"
            named[group[i]] = Receptacle(ids[i], name, kind, location)
    return named


def _serial_id(kind: str, number: int) -> str:
    # ALFWorld reads "sinkbasin" off the two ends of an id, Sink…SinkBasin, as in AI2-THOR.
    stem, basin, _ = kind.partition("Basin")
    return f"{stem}_bar_{number:02d}" + (f"_bar_{kind}" if basin else "")
