"""A believed situation with the names taken off, and the plan for it.

To know what to do next, an explorer needs few of the things that it knows: where the objects of the
goal are, whether the places that matter stand open, what is in the hand. Written with roles in
place of names ("the destination", "the object wanted") the same few hundred situations come up in
every game. So each is planned once and the plan's first step is remembered: the situation is
written as a small problem on the generator's own rules, compiled by the engine and solved by the
planner that the oracle uses.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from agentgym.envs.alfworld.engine import Game
from agentgym.envs.alfworld.experts.planner import Planner
from agentgym.envs.alfworld.generator import Goal, TaskType

WANTED = "wanted"
"""The role of an object of the kind that the goal names."""

DESTINATION = "destination"
"""The role of a receptacle of the kind that the goal names."""

LAMP = "lamp"
"""The role of a lamp of the kind that the goal names."""

OTHER = "other"
"""The role of what matters only because it is in the hand, or in the way."""

_ABILITIES = ("pickupable", "cleanable", "heatable", "coolable")  # what a task asks for can be done

_KEPT = 4096  # situations; a process that plays everything meets a few hundred


@dataclass(frozen=True, slots=True)
class Spot:
    """A receptacle that matters.

    Attributes:
        role: `DESTINATION`, the kind of an appliance that the task needs, or `OTHER`.
        closed: Whether it must be opened to reach into it.
        takes: Whether an object of role `OTHER` that is in the hand fits.
        spot: Where it stands: equal numbers are one spot.
    """

    role: str
    closed: bool
    takes: bool
    spot: int


@dataclass(frozen=True, slots=True)
class Piece:
    """An object that matters.

    Attributes:
        role: `WANTED`, `LAMP` or `OTHER`.
        place: The position of its receptacle in the situation; -1 in the hand.
        marks: What was done to it, as predicates of the rules.
    """

    role: str
    place: int
    marks: frozenset[str]


@dataclass(frozen=True, slots=True)
class Situation:
    """What is believed, as far as it matters.

    Attributes:
        task_type: What kind of goal.
        destination: The role of the receptacle, or the lamp, that the goal names.
        spot: Where the player stands; -1 away from all receptacles that matter.
        places: The receptacles.
        pieces: The objects.
    """

    task_type: TaskType
    destination: str
    spot: int
    places: tuple[Spot, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class NextStep:
    """The first step of a plan.

    Attributes:
        template: The command, with `{p[0].name}` for place 0 and `{t[0].name}` for piece 0; ""
            where the goal is believed to hold.
        pieces: The pieces that it handles.
    """

    template: str
    pieces: frozenset[int]


@lru_cache(maxsize=_KEPT)
def next_step(situation: Situation) -> NextStep | None:
    """Plan, and return the first step; None where there is no way."""
    domain, grammar = _rules()
    game = Game.from_data(
        {"pddl_domain": domain, "grammar": grammar, "pddl_problem": _problem(situation)},
        source="<belief>",
    )
    plan = Planner(game).plan(game.initial)
    if plan is None:
        return None
    if not plan:
        return NextStep("", frozenset())
    blanks = {game.names[_place(i)]: f"{{p[{i}].name}}" for i in range(len(situation.places))}
    blanks |= {game.names[_piece(i)]: f"{{t[{i}].name}}" for i in range(len(situation.pieces))}
    command = game.command(plan[0].operator)
    template = re.sub(r"(?:place|piece) \d+", lambda match: blanks[match[0]], command)
    handled = (i for i in range(len(situation.pieces)) if f"{{t[{i}].name}}" in template)
    return NextStep(template, frozenset(handled))


@lru_cache(maxsize=1)
def _rules() -> tuple[str, str]:
    """Return the generator's rules, and of its grammar what is needed to word a command."""
    folder = files("agentgym.envs.alfworld.generator")
    grammar = (folder / "grammar.twl2").read_text()
    silent = 'grammar :: """{"intro": [{"rhs": ""}]}""";\n'
    return (folder / "domain.pddl").read_text(), silent + grammar[grammar.index("\naction ") :]


def _kind(place: Spot) -> str:
    # What fits where is a matter of kinds, so a place that takes what is in the hand has its own.
    if place.role == OTHER:
        return "stand" if place.takes else "corner"
    return place.role


def _place(position: int) -> str:
    return f"place_bar_{position:02d}"


def _piece(position: int) -> str:
    return f"piece_bar_{position:02d}"


def _location(spot: int) -> str:
    return "elsewhere" if spot < 0 else f"spot{spot}"


def _problem(situation: Situation) -> str:
    """Write a situation as a PDDL problem."""
    places, pieces = situation.places, situation.pieces
    goal = Goal(situation.task_type, WANTED, situation.destination)
    spots = sorted({-1, situation.spot, *(place.spot for place in places)})
    facts = [f"(atLocation me {_location(situation.spot)})"]
    for i, place in enumerate(places):
        name = _place(i)
        facts.append(f"(receptacleType {name} {_kind(place)}Type)")
        facts.append(f"(receptacleAtLocation {name} {_location(place.spot)})")
        if place.closed:
            facts.append(f"(openable {name})")
    for i, piece in enumerate(pieces):
        name = _piece(i)
        facts.append(f"(objectType {name} {piece.role}Type)")
        facts += (f"({mark} {name})" for mark in sorted(piece.marks))
        if piece.role == LAMP:
            facts.append(f"(toggleable {name})")
        else:
            facts += (f"({ability} {name})" for ability in _ABILITIES)
        if piece.place < 0:
            facts += [f"(holds me {name})", "(holdsAny me)"]
        else:
            facts.append(f"(inReceptacle {name} {_place(piece.place)})")
            facts.append(f"(objectAtLocation {name} {_location(places[piece.place].spot)})")
    kinds = {_kind(place) for place in places}
    if situation.destination in kinds:
        facts.append(f"(canContain {situation.destination}Type {WANTED}Type)")
    roles = {piece.role for piece in pieces}
    if OTHER in roles:
        takers = {_kind(place) for place in places if place.takes}
        facts += (f"(canContain {kind}Type {OTHER}Type)" for kind in sorted(takers))
    return "\n".join(
        (
            "(define (problem belief) (:domain alfred) (:objects me - agent",
            *(f"{kind}Type - rtype" for kind in sorted(kinds)),
            *(f"{role}Type - otype" for role in sorted(roles)),
            *(f"{_place(i)} - receptacle" for i in range(len(places))),
            *(f"{_piece(i)} - object" for i in range(len(pieces))),
            *(f"{_location(spot)} - location" for spot in spots),
            ") (:init",
            *facts,
            f") (:goal {goal.condition}))",
        )
    )
