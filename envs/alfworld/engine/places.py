"""What applies in a state, remembered place by place.

Every operator of a text world needs some fact that is scarce: in ALFWorld, where the agent is. So
the scarce facts of a state name a place, and a place has a short list of operators. Among those,
most need one more fact that is rarely true (this object in this receptacle, that object in the
hand): that fact selects them, so only selectors that are true are looked at. And the answer is
remembered under the facts that it rests on: going back to a table that nobody touched costs one
dictionary look-up.

Where several operators that apply have the same command, the first is meant. TextWorld takes the
first in the order of Fast Downward's causal graph, which is not reproduced: in ALFWorld's domain
such operators (an object of two types put down) do and say the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from agentgym.envs.alfworld.engine.condition import Condition
from agentgym.envs.alfworld.engine.ground import Grounding

Moves = dict[str, int]
"""Admissible command → operator, in the order of the admissible list."""

_MEMORY = 1024  # situations that one place remembers before it starts again
_PLACES = 4096  # places that a game remembers before it starts again


class _Candidate(NamedTuple):
    position: int  # in the place's list of commands
    need: int
    forbid: int
    unless: tuple[Condition, ...]


@dataclass(slots=True)
class _Place:
    commands: list[str]
    operators: list[int]
    certain: list[int] = field(default_factory=list[int])
    """Positions of what always applies here."""
    others: list[_Candidate] = field(default_factory=list[_Candidate])
    """What needs no further fact, but the absence of one."""
    selected: dict[int, list[_Candidate]] = field(default_factory=dict[int, list[_Candidate]])
    """The rest, by the bit of the fact that selects it."""
    selectors: int = 0
    mask: int = 0
    known: dict[int, Moves] = field(default_factory=dict[int, Moves])

    def moves(self, state: int) -> Moves:
        positions = self.certain.copy()
        candidates = self.others
        selectors = state & self.selectors
        if selectors:
            candidates = candidates.copy()
            while selectors:
                bit = selectors & -selectors
                candidates += self.selected[bit]
                selectors ^= bit
        for position, need, forbid, unless in candidates:
            if (
                state & need == need
                and not state & forbid
                and not (unless and any(condition.holds(state) for condition in unless))
            ):
                positions.append(position)
        positions.sort()
        commands, operators = self.commands, self.operators
        return {commands[position]: operators[position] for position in positions}


class Places:
    """What applies in the states of one game.

    Args:
        grounding: The operators.
        command: Returns the command of an operator.
    """

    def __init__(self, grounding: Grounding, command: Callable[[int], str]) -> None:
        self._grounding = grounding
        self._command = command
        self._rarity = self._rarities()
        self._always: list[int] = []
        self._by_scarce: dict[int, list[int]] = {}
        self._file()
        self._places: dict[int, _Place] = {}

    def moves(self, state: int) -> Moves:
        """Return the admissible commands of a state, sorted, each with its operator."""
        scarce = state & self._scarce
        place = self._places.get(scarce)
        if place is None:
            place = self._place(scarce)
        key = state & place.mask
        moves = place.known.get(key)
        if moves is None:
            if len(place.known) >= _MEMORY:
                place.known.clear()
            moves = place.known[key] = place.moves(state)
        return moves

    def _rarities(self) -> dict[str, float]:
        """Return how many facts each predicate has for one that is true at the start."""
        grounding = self._grounding
        return {
            predicate: len(facts) / (1 + sum(grounding.initial >> f & 1 for f in facts.values()))
            for predicate, facts in grounding.ids.items()
        }

    def _file(self) -> None:
        """Choose the scarce predicate, and file the operators by its facts."""
        facts = self._grounding.facts
        served: dict[str, int] = {}
        for operator in self._grounding.operators:
            for fact in operator.positive:
                predicate = facts[fact][0]
                served[predicate] = served.get(predicate, 0) + 1
        true = {name: len(self._grounding.ids[name]) / self._rarity[name] for name in served}
        best = max(served, key=lambda name: served[name] / true[name], default=None)
        scarce = set(self._grounding.ids[best].values()) if best is not None else set[int]()
        for number, operator in enumerate(self._grounding.operators):
            for fact in operator.positive:
                if fact in scarce:
                    self._by_scarce.setdefault(fact, []).append(number)
                    break
            else:
                self._always.append(number)
        self._scarce = sum(1 << fact for fact in self._by_scarce)

    def _place(self, scarce: int) -> _Place:
        facts = self._grounding.facts
        here = {fact for fact in self._by_scarce if scarce >> fact & 1}
        numbers = self._always + [number for fact in here for number in self._by_scarce[fact]]
        # Of operators with the same command the first is meant, and a dictionary keeps the last.
        ordered = sorted([(self._command(number), -number) for number in numbers])
        place = _Place([command for command, _ in ordered], [-n for _, n in ordered])
        for position, number in enumerate(place.operators):
            operator = self._grounding.operators[number]
            positive = [fact for fact in operator.positive if fact not in here]
            if any(fact in self._by_scarce for fact in positive):
                continue  # it needs to be somewhere else as well
            need = forbid = bit = 0
            rarest = 0.0
            for fact in positive:
                need |= 1 << fact
                rarity = self._rarity[facts[fact][0]]
                if rarity > rarest:
                    rarest, bit = rarity, 1 << fact
            for fact in operator.negative:
                forbid |= 1 << fact
            place.mask |= need | forbid
            for condition in operator.unless:
                place.mask |= condition.mask
            candidate = _Candidate(position, need, forbid, operator.unless)
            if bit:
                place.selected.setdefault(bit, []).append(candidate)
                place.selectors |= bit
            elif forbid or operator.unless:
                place.others.append(candidate)
            else:
                place.certain.append(position)
        if len(self._places) >= _PLACES:
            self._places.clear()
        self._places[scarce] = place
        return place
