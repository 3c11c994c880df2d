"""One game's room: which receptacles stand in it and where every object is at the start.

`furnish` puts the goal's objects down first, anywhere likely except where they are to go, then
picks the receptacles of the room (all, or as many as the difficulty allows, always with what the
goal needs), then fills the room with other things by the same likelihoods.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from agentgym.envs.alfworld.generator._dice import Dice
from agentgym.envs.alfworld.generator.difficulty import Difficulty
from agentgym.envs.alfworld.generator.goals import Goal, TaskType
from agentgym.envs.alfworld.generator.scenes import Scene
from agentgym.envs.alfworld.generator.vocabulary import OBJECTS, RECEPTACLES

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
    placed = [
        (goal.object_kind, room.place(goal.object_kind)) for _ in range(goal.task_type.needed)
    ]
    if goal.task_type is TaskType.LOOK:
        placed.append((goal.place_kind, room.place(goal.place_kind)))
    required = [slot for _, slot in placed if slot is not None]
    required += [room.any_of(kind) for kind in _needed_kinds(goal)]
    room.keep(required, difficulty.receptacles)

    limit = difficulty.objects
    for kind in dice.shuffled(_others(scene, placed, dice)):
        if limit is not None and len(placed) >= limit:
            break
        slot = room.place(kind)
        if slot is not None:
            placed.append((kind, slot))

    receptacles = _name_receptacles(scene, room.open)
    counts = Counter(kind for kind, _ in placed)
    seen: Counter[str] = Counter()
    items: list[Item] = []
    for kind, slot in placed:
        assert slot is not None  # required ones have a place by construction, others were dropped
        seen[kind] += 1
        number = counts[kind] - seen[kind] + 1
        item = Item(
            f"{kind}_bar_{seen[kind]:02d}", f"{kind.lower()} {number}", kind, receptacles[slot]
        )
        items.append(item)
    return World(scene.number, goal, tuple(receptacles.values()), tuple(items))


def _needed_kinds(goal: Goal) -> tuple[str, ...]:
    if goal.task_type is TaskType.LOOK:
        return ()
    treatment = goal.task_type.treatment
    return (goal.place_kind, treatment.appliance) if treatment else (goal.place_kind,)


def _others(scene: Scene, placed: Sequence[tuple[str, int | None]], dice: Dice) -> list[str]:
    """Draw how many of each kind the room has, and return those that are not placed yet."""
    already = Counter(kind for kind, _ in placed)
    return [
        row.kind
        for row in scene.stock
        for _ in range(dice.between(row.fewest, row.most) - already[row.kind])
    ]


class _Room:
    """The slots of a scene (indices into its furniture) and how much space each has left."""

    def __init__(self, scene: Scene, goal: Goal, dice: Dice) -> None:
        self._kinds = [item.kind for item in scene.furniture]
        self._space = [RECEPTACLES[kind].capacity for kind in self._kinds]
        self._goal = goal
        self._dice = dice
        self.open = list(range(len(self._kinds)))

    def any_of(self, kind: str) -> int:
        """Return one of the slots of a kind."""
        return self._dice.pick([slot for slot in self.open if self._kinds[slot] == kind])

    def keep(self, required: Sequence[int], most: int | None) -> None:
        """Close all but the required slots and as many others as make up the number."""
        kept = set(required)
        if most is not None:
            spare = self._dice.shuffled([slot for slot in self.open if slot not in kept])
            kept.update(spare[: max(0, most - len(kept))])
            self.open = sorted(kept)

    def place(self, kind: str) -> int | None:
        """Put an object somewhere likely; return the slot, or None where no place is left."""
        weights = OBJECTS[kind].places
        avoid = self._goal.place_kind if kind == self._goal.object_kind else ""
        slots: dict[str, list[int]] = {}
        for slot in self.open:
            place = self._kinds[slot]
            if self._space[slot] and place != avoid and weights.get(place, 0):
                slots.setdefault(place, []).append(slot)
        if not slots:
            return None
        chosen = self._dice.pick(
            slots[self._dice.weighted(list(slots), [weights[place] for place in slots])]
        )
        self._space[chosen] -= 1
        return chosen


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
