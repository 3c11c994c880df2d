"""What a player of a household game knows: all of it was read in the text.

A belief is fed each feedback as it comes, whoever chose the command. It keeps the receptacles of
the room, which of them share a spot, whether they stand open and whether their contents were seen;
and of each object where it was last seen and what was done to it. The list of admissible commands
is used only for what the feedback leaves out: what is in reach, and what fits where.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from agentgym.envs.alfworld.generator import TaskType
from agentgym.envs.alfworld.generator.vocabulary import OBJECTS, RECEPTACLES

_NAME = r"[^\s,.]+ \d+"
_LISTED = re.compile(rf"\ban? ({_NAME})")
_ROOM = re.compile(r"Looking quickly around you, you see ([^.]*)\.")
_ARRIVE = re.compile(rf"You arrive at ({_NAME})\.")
_SIGHT = re.compile(
    rf"(?:On the ({_NAME}), you see|The ({_NAME}) is open\. In it, you see) ([^.]*)\."
)
_CLOSED = re.compile(rf"(?:The|You close the) ({_NAME})(?: is closed)?\.")
_TAKE = re.compile(rf"You pick up the ({_NAME}) from the ({_NAME})\.")
_PUT = re.compile(rf"You move the ({_NAME}) to the ({_NAME})\.")
_TREAT = re.compile(rf"You ([a-z]+) the ({_NAME}) using the ({_NAME})\.")
_SWITCH = re.compile(rf"You turn on the ({_NAME})\.")
_CARRY = re.compile(rf"You are carrying: an? ({_NAME})\.")

_TREATMENTS = {
    treatment.verb: treatment.predicate
    for task_type in TaskType
    if (treatment := task_type.treatment) is not None
}
_OPPOSITE = {"isHot": "isCool", "isCool": "isHot"}
_OPENABLE = {kind.name.lower() for kind in RECEPTACLES.values() if kind.openable}
_FITS = {kind.name.lower(): {p.lower() for p in kind.places} for kind in OBJECTS.values()}


def kind_of(name: str) -> str:
    """Return the kind in a name: "apple 2" is an apple."""
    return name.rpartition(" ")[0]


def by_number(name: str) -> tuple[str, int]:
    """Sort key for names: by kind, then by number."""
    kind, _, number = name.rpartition(" ")
    return kind, int(number)


@dataclass(slots=True)
class Place:
    """A receptacle.

    Attributes:
        name: "cabinet 3".
        kind: "cabinet".
        spot: Where it stands; receptacles that are reached together share a spot.
        openable: Whether it can be closed.
        open: Whether one can reach into it.
        seen: Whether its contents were seen.
    """

    name: str
    kind: str
    spot: int
    openable: bool
    open: bool
    seen: bool = False


@dataclass(slots=True)
class Thing:
    """An object.

    Attributes:
        name: "apple 2".
        kind: "apple".
        place: The receptacle that it is in or on; None while it is in the hand.
        marks: What was done to it, as predicates of the rules: "isClean".
    """

    name: str
    kind: str
    place: str | None
    marks: set[str] = field(default_factory=set[str])


class Belief:
    """What is known after the first text of a game, and after every text that follows.

    Args:
        feedback: The first text of the game.
        admissible: The admissible commands.

    Attributes:
        places: The receptacles of the room by name, sorted.
        things: The objects that were seen, by name.
        spot: The spot where the player stands, None at first.
    """

    def __init__(self, feedback: str, admissible: Iterable[str]) -> None:
        room = _ROOM.search(feedback)
        names = set(_LISTED.findall(room[1])) if room else set[str]()
        names.update(c.removeprefix("go to ") for c in admissible if c.startswith("go to "))
        self.places: dict[str, Place] = {}
        for spot, name in enumerate(sorted(names, key=by_number)):
            kind = kind_of(name)
            closed = kind in _OPENABLE
            self.places[name] = Place(name, kind, spot, closed, not closed)
        self.things: dict[str, Thing] = {}
        self.spot: int | None = None
        self._fits: dict[tuple[str, str], bool] = {}

    @property
    def held(self) -> Thing | None:
        """What is in the hand."""
        return next((thing for thing in self.things.values() if thing.place is None), None)

    def fits(self, thing: Thing, place: Place) -> bool:
        """Whether a thing can be put into a place, by experience or else by common sense."""
        pair = (thing.kind, place.kind)
        return self._fits.get(pair, place.kind in _FITS.get(thing.kind, ()))

    def is_here(self, place: Place) -> bool:
        """Whether a place is in reach."""
        return place.spot == self.spot

    def observe(self, feedback: str, admissible: Iterable[str]) -> None:
        """Take in what was said after a command, and what can be done next."""
        self._read(feedback)
        self._reach(admissible)

    def forget(self, name: str) -> None:
        """Take a thing for lost, and what was seen of its place for outdated."""
        thing = self.things.pop(name, None)
        if thing is not None and thing.place is not None:
            self.places[thing.place].seen = False

    def forget_contents(self) -> None:
        """Take what was seen of every place for outdated."""
        for place in self.places.values():
            place.seen = False

    def _read(self, text: str) -> None:
        if match := _TAKE.match(text):
            self._thing(match[1]).place = None
        elif match := _PUT.match(text):
            self._thing(match[1]).place = match[2]
        elif match := _TREAT.match(text):
            mark = _TREATMENTS.get(match[1])
            if mark is not None:
                marks = self._thing(match[2]).marks
                marks.add(mark)
                marks.discard(_OPPOSITE.get(mark, ""))
        elif (match := _SWITCH.match(text)) and match[1] in self.things:
            self.things[match[1]].marks.add("isToggled")
        elif match := _CARRY.match(text):
            self._thing(match[1]).place = None
        if (match := _ARRIVE.match(text)) and match[1] in self.places:
            self.spot = self.places[match[1]].spot
        if (match := _CLOSED.search(text)) and match[1] in self.places:
            place = self.places[match[1]]
            place.openable, place.open = True, False
        if match := _SIGHT.search(text):
            place = self.places.get(match[1] or match[2])
            if place is not None:
                place.open = place.seen = True
                for name in _LISTED.findall(match[3]):
                    self._thing(name).place = place.name

    def _thing(self, name: str) -> Thing:
        thing = self.things.get(name)
        if thing is None:
            thing = self.things[name] = Thing(name, kind_of(name), None)
        return thing

    def _reach(self, admissible: Iterable[str]) -> None:
        if self.spot is None:
            return
        held = self.held
        put = f"move {held.name} to " if held else "move "
        puttable: set[str] = set()
        for command in admissible:
            if command.startswith("examine "):
                place = self.places.get(command[8:])
                if place is not None:
                    place.spot = self.spot
            elif command.startswith(put):
                puttable.add(command[len(put) :])
        if held is not None:
            for place in self.places.values():
                if place.spot == self.spot and place.open:
                    self._fits[held.kind, place.kind] = place.name in puttable
