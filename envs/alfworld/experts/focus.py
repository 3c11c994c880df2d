"""What matters of a belief: the situation to plan for, and whose names to put back into the plan.

What matters is the objects that the goal is about, what is in the hand, where these are, and one
place of each sort that the goal or the rules name. Of things and places that nothing tells apart,
as many are kept as the goal needs. An object that the goal needs and nobody has seen is imagined;
where, the caller decides.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from agentgym.envs.alfworld.experts.belief import Belief, Place, Thing, by_number
from agentgym.envs.alfworld.experts.situation import (
    DESTINATION,
    LAMP,
    OTHER,
    WANTED,
    Piece,
    Situation,
    Spot,
)
from agentgym.envs.alfworld.generator import Goal, TaskType

IMAGINED = ""
"""The name of a thing that nobody has seen yet."""


@dataclass(frozen=True, slots=True)
class Focus:
    """A situation and what its places and pieces stand for.

    Attributes:
        situation: What to plan for.
        places: The receptacles, by position.
        things: The objects, by position; imagined ones bear the name `IMAGINED`.
    """

    situation: Situation
    places: tuple[Place, ...]
    things: tuple[Thing, ...]


class Lens:
    """Picks out of a belief what matters for a goal.

    Args:
        goal: The goal, its kinds in lower case.
        imagine: Says in which place an object of a kind is imagined.
    """

    def __init__(self, goal: Goal, imagine: Callable[[str], Place]) -> None:
        treatment = goal.task_type.treatment
        self._task_type = goal.task_type
        self._imagine = imagine
        self._marks = {treatment.predicate} if treatment else {"isToggled"}
        self._kinds = {WANTED: goal.object_kind}
        if goal.task_type is TaskType.LOOK:
            self._kinds[LAMP] = goal.place_kind
            self._destination = LAMP
            self._roles: dict[str, str] = {}
        else:
            appliance = treatment.appliance.lower() if treatment else ""
            self._roles = {goal.place_kind: DESTINATION, appliance: appliance}
            self._destination = self._roles[goal.place_kind]

    def focus(self, belief: Belief) -> Focus:
        """Return what matters now."""
        things: list[tuple[str, Thing]] = []
        for role, kind in self._kinds.items():
            things += ((role, thing) for thing in self._of_kind(kind, role, belief))
        held = belief.held
        burden = held if held is not None and held.kind != self._kinds[WANTED] else None
        if burden is not None:
            things.append((OTHER, burden))
        places = self._places([thing for _, thing in things], burden, belief)
        position = {place.name: i for i, (place, _) in enumerate(places)}
        spots = {spot: i for i, spot in enumerate(dict.fromkeys(p.spot for p, _ in places))}
        situation = Situation(
            self._task_type,
            self._destination,
            -1 if belief.spot is None else spots.get(belief.spot, -1),
            tuple(Spot(*sort[:3], spots[place.spot]) for place, sort in places),
            tuple(
                Piece(
                    role,
                    -1 if thing.place is None else position[thing.place],
                    frozenset(thing.marks & self._marks),
                )
                for role, thing in things
            ),
        )
        return Focus(
            situation, tuple(place for place, _ in places), tuple(thing for _, thing in things)
        )

    def _of_kind(self, kind: str, role: str, belief: Belief) -> list[Thing]:
        known = [thing for thing in belief.things.values() if thing.kind == kind]
        needed = self._task_type.needed if role == WANTED else 1
        in_hand = any(thing.place is None for thing in known)
        alike: Counter[_Likeness] = Counter()
        chosen: list[Thing] = []
        for likeness, thing in sorted(
            ((self._likeness(thing, belief), thing) for thing in known),
            key=lambda pair: (pair[0], by_number(pair[1].name)),
        ):
            alike[likeness] += 1
            if thing.place is None or alike[likeness] <= needed - in_hand:
                chosen.append(thing)
        missing = needed - len(known)
        if missing > 0:
            chosen += [Thing(IMAGINED, kind, self._imagine(kind).name)] * missing
        return chosen

    def _likeness(self, thing: Thing, belief: Belief) -> "_Likeness":
        marked = bool(thing.marks & self._marks)
        if thing.place is None:
            return (True, marked, OTHER, False, False)
        place = belief.places[thing.place]
        return (False, marked, self._role(place), place.open, belief.is_here(place))

    def _places(
        self, things: list[Thing], burden: Thing | None, belief: Belief
    ) -> list[tuple[Place, "_Sort"]]:
        """Return the places that matter, ordered by their sorts before their names."""
        chosen: dict[str, tuple[Place, _Sort]] = {}
        sorts: set[_Sort] = set()
        for place in belief.places.values():
            sort = self._sort(place, burden, belief)
            role, _, takes, _ = sort
            if (role != OTHER or takes) and sort not in sorts:
                sorts.add(sort)
                chosen[place.name] = (place, sort)
        for thing in things:
            if thing.place is not None and thing.place not in chosen:
                place = belief.places[thing.place]
                chosen[place.name] = (place, self._sort(place, burden, belief))
        return sorted(chosen.values(), key=lambda pair: pair[1])

    def _sort(self, place: Place, burden: Thing | None, belief: Belief) -> "_Sort":
        takes = burden is not None and belief.fits(burden, place)
        return (self._role(place), not place.open, takes, belief.is_here(place))

    def _role(self, place: Place) -> str:
        return self._roles.get(place.kind, OTHER)


_Likeness = tuple[bool, bool, str, bool, bool]
"""In the hand, done, role of its place, whether that is open, whether that is here."""

_Sort = tuple[str, bool, bool, bool]
"""Role, closed, takes what is in the hand, here."""
