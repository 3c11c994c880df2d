"""What exists in the rooms: kinds of objects and receptacles, what fits where, what can be done.

One row per kind of object says three things: what can be done to it, where a person would look for
it first (weights), and where else it fits. Everything else is read off that table: the `canContain`
facts of a game, where the generator puts things, which goals make sense, and the prior of an agent
that searches (`likely_places`). The kinds, their affordances and what fits where are those of
ALFRED; the weights are ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from agentgym.errors import UnknownNameError


class Affordance(Enum):
    """What can be done to an object; the value is the predicate that says so in a game."""

    PICK = "pickupable"
    HEAT = "heatable"
    COOL = "coolable"
    CLEAN = "cleanable"
    SLICE = "sliceable"
    TOGGLE = "toggleable"
    CONTAIN = "isReceptacleObject"


@dataclass(frozen=True, slots=True)
class ReceptacleKind:
    """A kind of furniture or appliance.

    Attributes:
        name: As in a game file, "CounterTop"; in text it is lowercased.
        openable: Whether it must be opened to see what is in it.
        capacity: How many objects a room may start with in one of them.
    """

    name: str
    openable: bool
    capacity: int


@dataclass(frozen=True, slots=True)
class ObjectKind:
    """A kind of object.

    Attributes:
        name: As in a game file, "ButterKnife"; in text it is lowercased.
        affordances: What can be done to it.
        places: Receptacle kind → how likely it is found there; 0: it fits but is not kept there.
    """

    name: str
    affordances: frozenset[Affordance]
    places: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LikelyPlace:
    """Where to look: a receptacle kind, lowercased as in the text, and its share of the chance."""

    receptacle_type: str
    weight: float


# kind: capacity; a star marks what is openable
_RECEPTACLES = """
ArmChair 3, BathtubBasin 3, Bed 6, *Cabinet 5, Cart 6, CoffeeMachine 1, CoffeeTable 8,
CounterTop 14, Desk 9, DiningTable 12, *Drawer 4, Dresser 8, *Fridge 8, GarbageCan 4,
HandTowelHolder 1, LaundryHamper 3, *Microwave 2, Ottoman 2, *Safe 3, Shelf 5, SideTable 6,
SinkBasin 6, Sofa 5, StoveBurner 1, TVStand 3, Toaster 1, Toilet 3, ToiletPaperHanger 1,
TowelHolder 1
"""

_GROUPS = {
    "Tops": ("CounterTop", "DiningTable", "CoffeeTable", "SideTable"),
    "Seats": ("Sofa", "ArmChair", "Ottoman"),
    "Desks": ("Desk", "Dresser"),
}

_LETTERS = {
    "h": Affordance.HEAT,
    "c": Affordance.COOL,
    "w": Affordance.CLEAN,
    "s": Affordance.SLICE,
    "v": Affordance.CONTAIN,
    "l": Affordance.TOGGLE,
}

# kind | h heat, c cool, w wash, s slice, v vessel, l lamp; a dash: can't be picked up
# | where it is likely, with weights / where it fits as well
_OBJECTS = """
AlarmClock    |      | Desks 4, SideTable 4, Shelf 3, CoffeeTable 1, DiningTable 1 / CounterTop
Apple         | hcws | CounterTop 5, Fridge 4, DiningTable 4, SinkBasin 2, GarbageCan 2, SideTable 2, Microwave 1 / CoffeeTable
BaseballBat   |      | Bed 4, Tops 1
BasketBall    |      | Bed 3, Desks 2, Seats 2, Tops 1
Book          |      | Desks 4, Bed 4, Shelf 4, Tops 3, Drawer 2, Seats 2 / Cabinet
Bowl          | cwv  | CounterTop 4, Cabinet 4, Shelf 3, DiningTable 3, Fridge 2, CoffeeTable 2, SideTable 2, SinkBasin 2, Desks 2, Microwave 1
Box           | v    | CoffeeTable 4, Sofa 4, SideTable 3, DiningTable 3, Dresser 2, ArmChair 2, Ottoman 2, Desk 1, Shelf 1 / CounterTop, Cabinet
Bread         | hcs  | CounterTop 6, DiningTable 4, Fridge 2, SideTable 1, Microwave 1, GarbageCan 1 / CoffeeTable
ButterKnife   | w    | CounterTop 4, Drawer 4, DiningTable 3, SinkBasin 2, SideTable 1 / CoffeeTable
CD            |      | Desks 4, Drawer 3, Shelf 3, SideTable 2, GarbageCan 2, Safe 1, DiningTable 1, CoffeeTable 1, Cabinet 1 / CounterTop
Candle        |      | CounterTop 4, Toilet 4, Drawer 2, Cabinet 2, Shelf 2, Cart 2, Desks 1, CoffeeTable 1, SideTable 1, DiningTable 1
CellPhone     |      | Desks 4, Bed 3, SideTable 3, Drawer 2, Sofa 2, Shelf 2, CoffeeTable 2, DiningTable 2, CounterTop 2, Safe 1, ArmChair 1 / Ottoman
Cloth         | w    | BathtubBasin 4, CounterTop 4, Cabinet 3, Drawer 3, LaundryHamper 3, SinkBasin 2, Shelf 2, Cart 2, Toilet 1, SideTable 1, Dresser 1 / DiningTable, CoffeeTable, Desk, GarbageCan, Seats
CreditCard    |      | Desks 3, CoffeeTable 3, SideTable 3, Drawer 2, DiningTable 2, Shelf 2, CounterTop 2, Seats 1, Safe 1
Cup           | hcwv | CounterTop 4, Cabinet 4, DiningTable 3, Fridge 2, SinkBasin 2, Microwave 2, Shelf 2, SideTable 1, Desks 1 / CoffeeTable
DishSponge    | w    | SinkBasin 5, CounterTop 4, Drawer 3, Cabinet 2, BathtubBasin 2, GarbageCan 1, Cart 1, Shelf 1, Toilet 1, DiningTable 1 / CoffeeTable, SideTable
Egg           | hcws | Fridge 5, CounterTop 3, SinkBasin 2, DiningTable 2, Microwave 1, GarbageCan 1, SideTable 1 / CoffeeTable
Fork          | w    | Drawer 5, CounterTop 4, DiningTable 3, SinkBasin 3, SideTable 1 / CoffeeTable
Glassbottle   |      | CounterTop 4, Cabinet 3, Shelf 2, Fridge 2, DiningTable 2, SinkBasin 1, SideTable 1 / CoffeeTable, Desks, Microwave
HandTowel     |      | HandTowelHolder 8, CounterTop 1, SinkBasin 1 / DiningTable, CoffeeTable, SideTable, BathtubBasin, Cabinet, Cart, Drawer, GarbageCan, Shelf, Toilet
HousePlant    | -    | DiningTable 4, CounterTop 3, SideTable 3, CoffeeTable 2, Desks 2, Shelf 2, TVStand 2
Kettle        | w    | StoveBurner 5, CounterTop 4, Cabinet 3, Shelf 1, DiningTable 1, SinkBasin 1 / CoffeeTable, SideTable
KeyChain      |      | Desks 3, SideTable 3, CoffeeTable 3, Drawer 3, DiningTable 2, Shelf 2, Seats 2, Safe 2 / CounterTop
Knife         | w    | CounterTop 6, Drawer 4, DiningTable 3, SinkBasin 2, SideTable 1 / CoffeeTable
Ladle         | w    | CounterTop 4, Drawer 3, Cabinet 3, DiningTable 2, SinkBasin 1 / CoffeeTable, SideTable
Laptop        |      | Bed 4, Desk 4, CoffeeTable 3, Sofa 3, DiningTable 3, ArmChair 2, SideTable 1, Dresser 1, Ottoman 1 / CounterTop
Lettuce       | cws  | Fridge 4, CounterTop 5, DiningTable 4, SinkBasin 2, GarbageCan 1, SideTable 1 / CoffeeTable
Mug           | hcwv | CoffeeMachine 3, CounterTop 4, Cabinet 4, Desks 4, Shelf 2, SinkBasin 2, Microwave 2, Fridge 2, DiningTable 2, SideTable 2, CoffeeTable 1 / Cart
Newspaper     |      | CoffeeTable 4, Sofa 4, SideTable 3, DiningTable 3, ArmChair 3, Ottoman 2, Drawer 2, Dresser 1, Shelf 1, GarbageCan 1 / CounterTop, Desk, Bed, Cabinet, Toilet
Pan           | cwv  | StoveBurner 6, CounterTop 4, Cabinet 3, DiningTable 2, SinkBasin 1, Fridge 1 / CoffeeTable, SideTable
PaperTowel    |      | CounterTop 4, Toilet 2, Shelf 2, Cart 1, GarbageCan 1, DiningTable 1, SideTable 1 / CoffeeTable
Pen           |      | Desks 4, Drawer 3, SideTable 3, Shelf 3, DiningTable 2, CoffeeTable 2, GarbageCan 1, CounterTop 1
Pencil        |      | Desks 4, Drawer 3, Shelf 3, SideTable 3, DiningTable 2, CoffeeTable 1, GarbageCan 1, CounterTop 1
PepperShaker  |      | CounterTop 5, Cabinet 4, DiningTable 3, Drawer 3, Shelf 2, SideTable 1 / CoffeeTable
Pillow        |      | Bed 6, Sofa 5, ArmChair 4, Ottoman 1
Plate         | hcwv | CounterTop 4, Cabinet 4, DiningTable 3, SinkBasin 2, Fridge 2, Shelf 2, Microwave 1, CoffeeTable 1, SideTable 1 / Desks
Plunger       |      | Cabinet 4, Cart 1
Pot           | cwv  | StoveBurner 6, CounterTop 3, Cabinet 2, SinkBasin 2, Fridge 2, DiningTable 1, Shelf 1 / CoffeeTable, SideTable
Potato        | hcws | CounterTop 5, Fridge 4, SinkBasin 2, DiningTable 3, GarbageCan 2, Microwave 1, SideTable 1 / CoffeeTable
RemoteControl |      | Sofa 4, CoffeeTable 4, SideTable 3, ArmChair 3, Dresser 3, Shelf 2, DiningTable 2, Drawer 2, Ottoman 1, Desk 1 / CounterTop
SaltShaker    |      | CounterTop 5, Cabinet 4, Drawer 4, DiningTable 3, Shelf 2, SideTable 1 / CoffeeTable
SoapBar       | w    | Toilet 4, CounterTop 4, SinkBasin 4, BathtubBasin 3, Cabinet 2, Drawer 2, GarbageCan 1, Cart 1, Shelf 1 / DiningTable, CoffeeTable, SideTable
SoapBottle    |      | CounterTop 5, Cabinet 4, Toilet 3, Drawer 2, Shelf 2, GarbageCan 1, Cart 1, SideTable 1, DiningTable 1 / CoffeeTable, Desk
Spatula       | w    | CounterTop 5, Drawer 4, DiningTable 3, SinkBasin 2, SideTable 1 / CoffeeTable
Spoon         | w    | Drawer 4, CounterTop 4, DiningTable 3, SinkBasin 3, SideTable 1 / CoffeeTable
SprayBottle   |      | Cabinet 4, CounterTop 3, Toilet 3, GarbageCan 2, Drawer 2, Shelf 2, Dresser 1, Cart 1, SideTable 1 / DiningTable, CoffeeTable, Desk
Statue        |      | Shelf 4, Dresser 3, SideTable 3, CoffeeTable 3, DiningTable 3, Desk 2, CounterTop 2, Safe 1, Cart 1
TennisRacket  |      | Bed 4, Desks 2, DiningTable 1, SideTable 1 / CounterTop, CoffeeTable
TissueBox     |      | Toilet 3, SideTable 3, CoffeeTable 3, CounterTop 3, Desks 2, Shelf 2, Cabinet 2, Drawer 2, DiningTable 2, TVStand 2, Cart 1 / GarbageCan
ToiletPaper   |      | ToiletPaperHanger 6, Cabinet 3, Toilet 3, CounterTop 2, Drawer 2, Shelf 2, GarbageCan 1, Cart 1 / DiningTable, CoffeeTable, SideTable, Desks
Tomato        | hcws | CounterTop 5, Fridge 4, SinkBasin 3, DiningTable 3, GarbageCan 1, Microwave 1, SideTable 1 / CoffeeTable
Towel         |      | TowelHolder 1
Vase          |      | Shelf 4, DiningTable 3, CoffeeTable 3, SideTable 3, Cabinet 2, Dresser 2, CounterTop 2, Safe 1, Desk 1 / Cart
Watch         |      | Drawer 3, Shelf 3, CoffeeTable 3, SideTable 3, Dresser 3, DiningTable 2, Desk 2, Safe 2 / CounterTop
WateringCan   |      | SideTable 3, CoffeeTable 2, DiningTable 2, Shelf 2, Drawer 1, Dresser 1, Desk 1 / CounterTop, Cabinet
WineBottle    | c    | CounterTop 4, Cabinet 3, Fridge 2, DiningTable 2, Shelf 2, GarbageCan 1, SideTable 1 / CoffeeTable, Desks
DeskLamp      | l-   | Desk 5, SideTable 5, Dresser 4, Shelf 2, DiningTable 1, CoffeeTable 1
FloorLamp     | l-   | SideTable 4, Dresser 3, Desk 2, Shelf 2, CoffeeTable 2, DiningTable 2, TVStand 1
"""  # noqa: E501  (a table is read by its columns)


def _read_receptacle(cell: str) -> ReceptacleKind:
    name, capacity = cell.split()
    return ReceptacleKind(name.lstrip("*"), name.startswith("*"), int(capacity))


def _read_object(row: str) -> ObjectKind:
    name, letters, places = (cell.strip() for cell in row.split("|"))
    likely, _, also = places.partition(" / ")
    weights: dict[str, int] = {}
    for cell in likely.split(", "):
        place, weight = cell.split()
        weights.update(dict.fromkeys(_GROUPS.get(place, (place,)), int(weight)))
    for place in also.split(", ") if also else ():
        weights.update(dict.fromkeys(_GROUPS.get(place, (place,)), 0))
    affordances = {_LETTERS[letter] for letter in letters.replace("-", "")}
    if "-" not in letters:
        affordances.add(Affordance.PICK)
    return ObjectKind(name, frozenset(affordances), MappingProxyType(weights))


RECEPTACLES: Mapping[str, ReceptacleKind] = MappingProxyType(
    {kind.name: kind for kind in map(_read_receptacle, " ".join(_RECEPTACLES.split()).split(", "))}
)
"""Every kind of receptacle by its name."""

OBJECTS: Mapping[str, ObjectKind] = MappingProxyType(
    {kind.name: kind for kind in map(_read_object, _OBJECTS.strip().splitlines())}
)
"""Every kind of object by its name."""

_OBJECTS_BY_TEXT = {name.lower(): kind for name, kind in OBJECTS.items()}


def fits(object_type: str, receptacle_type: str) -> bool:
    """Say whether such an object can be put into such a receptacle (names as in a game file)."""
    return receptacle_type in OBJECTS[object_type].places


def likely_places(object_type: str) -> tuple[LikelyPlace, ...]:
    """Say where a kind of object is likely to be found, most likely first.

    Args:
        object_type: A kind of object in any case: "butterknife" as in the text, or "ButterKnife".

    Returns:
        Receptacle kinds with weights that add up to 1 over all kinds. A weight is the whole kind's:
        in a room with 8 cabinets, each of them has an eighth of it.

    Raises:
        UnknownNameError: There is no such kind of object.
    """
    kind = _OBJECTS_BY_TEXT.get(object_type.lower())
    if kind is None:
        raise UnknownNameError("kind of object", object_type, _OBJECTS_BY_TEXT)
    total = sum(kind.places.values())
    ranked = sorted(kind.places.items(), key=lambda place: (-place[1], place[0]))
    return tuple(LikelyPlace(name.lower(), w / total) for name, w in ranked if w)
