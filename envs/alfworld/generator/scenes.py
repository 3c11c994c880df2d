"""The rooms: 30 each of kitchens, living rooms, bedrooms and bathrooms, with their furniture.

A scene is what stays the same from game to game: which receptacles stand in the room and which
kinds of objects belong there. Ours are drawn once and for all from the two tables below, with the
scene's number as the seed. Numbers and the split follow ALFRED: kitchens are 1 to 30, living rooms
201 to 230, bedrooms 301 to 330, bathrooms 401 to 430, and the first six of each are the unseen
ones.
"""

from dataclasses import dataclass
from enum import Enum
from functools import cache

from agentgym.envs.dice import Dice


class Room(Enum):
    """What a scene is; the value is the number before its first scene."""

    KITCHEN = 0
    LIVING_ROOM = 200
    BEDROOM = 300
    BATHROOM = 400


class Split(Enum):
    """Which games: training, held out in known scenes, or in scenes that training never shows."""

    TRAIN = "train"
    VALID_SEEN = "valid_seen"
    VALID_UNSEEN = "valid_unseen"


@dataclass(frozen=True, slots=True)
class Furniture:
    """One receptacle of a scene.

    Attributes:
        kind: As in a game file, "CounterTop".
        id: Its name in the game file where the scene fixes it, else None.
        location: Where one stands to reach it, or None: a spot of its own.
    """

    kind: str
    id: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Stock:
    """How many objects of a kind a game in this scene has."""

    kind: str
    fewest: int
    most: int


@dataclass(frozen=True, slots=True)
class Scene:
    """A room: its furniture and what is kept there."""

    number: int
    room: Room
    furniture: tuple[Furniture, ...]
    stock: tuple[Stock, ...]


SCENES_PER_ROOM = 30
_UNSEEN_PER_ROOM = 6

# kind fewest-most; a percentage says how many of the rooms have it at all
_FURNITURE = {
    Room.KITCHEN: """
        Cabinet 4-11, Drawer 3-8 90%, CounterTop 1-3, DiningTable 1 50%, SideTable 1 12%,
        Shelf 1-3 20%, Fridge 1, Microwave 1, SinkBasin 1, StoveBurner 4, CoffeeMachine 1,
        Toaster 1, GarbageCan 1
    """,
    Room.LIVING_ROOM: """
        Sofa 1-2, ArmChair 1-2 90%, CoffeeTable 1 85%, SideTable 1-3 80%, DiningTable 1 45%,
        Drawer 1-6 75%, Shelf 2-6 40%, TVStand 1 40%, Dresser 1 35%, Cabinet 2-5 12%,
        Ottoman 1 10%, Safe 1 8%, Desk 1 8%, GarbageCan 1
    """,
    Room.BEDROOM: """
        Bed 1, Desk 1 65%, Dresser 1 50%, SideTable 1-2 90%, Drawer 2-8 93%, Shelf 2-6 65%,
        ArmChair 1-2 20%, Cabinet 2-4 17%, DiningTable 1 15%, Safe 1 15%, LaundryHamper 1 27%,
        GarbageCan 1
    """,
    Room.BATHROOM: """
        SinkBasin 1-2, Toilet 1, CounterTop 1 85%, Cabinet 2-5 55%, Drawer 2-6 45%,
        BathtubBasin 1 70%, Shelf 1-4 22%, SideTable 1 8%, Dresser 1 8%, Cart 1 8%,
        ToiletPaperHanger 1, HandTowelHolder 1-2, TowelHolder 1, GarbageCan 1
    """,
}

_STOCK = {
    Room.KITCHEN: """
        Apple 1-3, Bread 1-2, Egg 1-3, Lettuce 1-3, Potato 1-3, Tomato 1-3, Bowl 1-3, Cup 1-3,
        Mug 1-3, Plate 1-3, Pan 1-2, Pot 1-2, Kettle 1-2 50%, ButterKnife 1-3, Fork 1-3, Knife 1-3,
        Spoon 1-3, Spatula 1-3, Ladle 1-2 33%, DishSponge 1-3, SoapBottle 1-3, SaltShaker 1-3,
        PepperShaker 1-3, Glassbottle 1-2 25%, WineBottle 1-2 33%, Vase 1-2 13%, Statue 1-2 13%,
        CellPhone 1-2 13%, CreditCard 1-2 10%, Book 1 8%, SprayBottle 1-2 8%, HousePlant 1 33%
    """,
    Room.LIVING_ROOM: """
        Box 1-2, CreditCard 1-3, KeyChain 1-3, Laptop 1-2, Pillow 1-3, RemoteControl 1-3,
        Statue 1-3, Newspaper 1-3 60%, Vase 1-3 60%, Watch 1-3 53%, WateringCan 1-2 43%,
        TissueBox 1-2 30%, Plate 1-2 33%, Bowl 1-2 15%, Book 1-2 23%, CellPhone 1-2 23%,
        Pen 1-2 17%, Pencil 1-2 13%, Candle 1-2 10%, FloorLamp 1 85%, DeskLamp 1 45%,
        HousePlant 1-2
    """,
    Room.BEDROOM: """
        AlarmClock 1-3, Book 1-3, CD 1-3, CellPhone 1-3, CreditCard 1-3, KeyChain 1-3, Laptop 1-2,
        Pen 1-3, Pencil 1-3, Pillow 1-3, Mug 1-2 53%, Bowl 1-2 43%, BaseballBat 1 43%,
        BasketBall 1 37%, TennisRacket 1-2 33%, Box 1-2 40%, Cloth 1-3 17%, TissueBox 1-2 13%,
        Statue 1-2 13%, Vase 1-2 10%, RemoteControl 1-2 10%, Watch 1-2 8%, DeskLamp 1 85%,
        FloorLamp 1 25%, HousePlant 1 23%
    """,
    Room.BATHROOM: """
        Candle 1-3, Cloth 1-3, HandTowel 1-2, Plunger 1, SoapBar 1-3, SoapBottle 1-3,
        SprayBottle 1-3, ToiletPaper 2-4, Towel 1, DishSponge 1-3 20%, TissueBox 1-2 30%,
        PaperTowel 1-2 13%, HousePlant 1 8%
    """,
}

_LAMPS = {Room.LIVING_ROOM: "FloorLamp", Room.BEDROOM: "DeskLamp"}


@dataclass(frozen=True, slots=True)
class _Row:
    stock: Stock
    share: float


def _read(table: str) -> tuple[_Row, ...]:
    rows: list[_Row] = []
    for cell in " ".join(table.split()).split(", "):
        kind, numbers, *share = cell.split()
        fewest, _, most = numbers.partition("-")
        percent = share[0].rstrip("%") if share else "100"
        rows.append(_Row(Stock(kind, int(fewest), int(most or fewest)), int(percent) / 100))
    return tuple(rows)


def _settle(table: str, dice: Dice) -> list[Stock]:
    """Return the rows of a table that this room has."""
    return [row.stock for row in _read(table) if dice.chance(row.share)]


@cache
def scene(number: int) -> Scene:
    """Return one of our 120 scenes by its number, the same one every time."""
    room = Room(number // 100 * 100)
    dice = Dice(f"scene {number}")
    furniture = tuple(
        Furniture(row.kind)
        for row in _settle(_FURNITURE[room], dice)
        for _ in range(dice.between(row.fewest, row.most))
    )
    stock = _settle(_STOCK[room], dice)
    # Every living room and bedroom has a lamp to look at things under.
    if room in _LAMPS and not any(row.kind in _LAMPS.values() for row in stock):
        stock.append(Stock(_LAMPS[room], 1, 1))
    return Scene(number, room, furniture, tuple(stock))


@cache
def scene_numbers(room: Room, split: Split) -> tuple[int, ...]:
    """Return the numbers of a room's scenes in a split: 24 seen ones, or 6 unseen."""
    first = room.value + 1
    if split is Split.VALID_UNSEEN:
        return tuple(range(first, first + _UNSEEN_PER_ROOM))
    return tuple(range(first + _UNSEEN_PER_ROOM, first + SCENES_PER_ROOM))


def stock_table(room: Room) -> tuple[Stock, ...]:
    """Return everything that rooms of this kind may hold, whatever its share of the rooms."""
    return tuple(row.stock for row in _read(_STOCK[room]))
