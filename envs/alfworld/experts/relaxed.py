"""A game in which nothing is ever lost: the delete relaxation of a grounded game.

Drop from every operator what it takes away, and a goal's cost is easy to estimate: grow the set of
facts that can be made true layer by layer, remember which operator made each fact true first, and
count the operators on the way back from the goal (the FF heuristic: Hoffmann and Nebel, JAIR 2001).
In a household the estimate is all but exact: it counts each place to visit, thing to open and thing
to do, and misses only that one may have to come back.

A negative condition is a fact of its own here ("the hand is empty"), made true by what deletes the
original. Masks over facts and their negations are called extended; negations start at bit `width`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentgym.envs.alfworld.engine import Game, Operator


@dataclass(frozen=True, slots=True)
class Move:
    """An operator without deletes; a conditional effect is a move of its own.

    Attributes:
        operator: Its number in the game.
        need: Extended mask of what must be true.
        add: Extended mask of what becomes true.
    """

    operator: int
    need: int
    add: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """A relaxed plan.

    Attributes:
        cost: How many operators it has.
        moves: The moves, goal first.
    """

    cost: int
    moves: tuple[Move, ...]


Choices = tuple[tuple[int, ...], ...]
"""A goal: of each part, one of the extended masks must hold."""


class Relaxation:
    """The moves and goal of a game.

    Args:
        game: The game; conditions that are universally quantified are taken to hold.

    Attributes:
        width: The bit where negations start.
        goal: The goal's parts, each with the masks that satisfy it.
        moves: Every move of the game.
    """

    def __init__(self, game: Game) -> None:
        operators = game.operators
        self.width = len(game.grounding.facts)
        self._negated = 0
        for operator in operators:
            self._negated |= _mask(operator.negative)
            for effect in operator.conditional:
                self._negated |= _mask(effect.negative)
        options = [test.alternatives for test in game.grounding.goal]
        for part in options:
            for option in part:
                self._negated |= option.forbid
        self.goal: Choices = tuple(
            tuple(option.need | option.forbid << self.width for option in part) for part in options
        )
        self.moves: list[Move] = []
        for number, operator in enumerate(operators):
            self.moves += self._moves(number, operator)

    def extend(self, state: int) -> int:
        """Return the extended mask of a state."""
        return state | (~state & self._negated) << self.width

    def _moves(self, number: int, operator: Operator) -> Iterable[Move]:
        need = _mask(operator.positive) | _mask(operator.negative) << self.width
        yield Move(number, need, self._gain(operator.adds, operator.deletes))
        for effect in operator.conditional:
            when = _mask(effect.positive) | _mask(effect.negative) << self.width
            yield Move(number, need | when, self._gain(effect.adds, effect.deletes))

    def _gain(self, adds: Iterable[int], deletes: Iterable[int]) -> int:
        return _mask(adds) | (_mask(deletes) & self._negated) << self.width


def estimates(start: int, moves: Sequence[Move], goal: Choices) -> list[list[Estimate | None]]:
    """Estimate what each mask of each part of a goal costs.

    Args:
        start: The extended mask of what is true.
        moves: The moves to use.
        goal: The goal.

    Returns:
        A relaxed plan for each mask of each part, or None where there is none.
    """
    support = _grow(start, moves)
    return [[_extract(start, mask, support) for mask in part] for part in goal]


def cheapest(start: int, moves: Sequence[Move], goal: Choices) -> int | None:
    """Estimate what a goal costs, or return None where it is out of reach.

    The parts are paid for together: what one part needs is there for the next.
    """
    support = _grow(start, moves)
    cost = chosen = 0
    for part in goal:
        best: tuple[int, int] | None = None
        for mask in part:
            estimate = _extract(start, chosen | mask, support)
            if estimate is not None and (best is None or estimate.cost < best[0]):
                best = (estimate.cost, mask)
        if best is None:
            return None
        cost = best[0]
        chosen |= best[1]
    return cost


def _grow(start: int, moves: Sequence[Move]) -> dict[int, Move]:
    """Return each fact that becomes reachable, with a move that first makes it true."""
    reached = start
    support: dict[int, Move] = {}
    waiting = moves
    while True:
        still: list[Move] = []
        layer = reached
        for move in waiting:
            if move.need & ~reached:
                still.append(move)
                continue
            gain = move.add & ~layer
            layer |= gain
            while gain:
                fact = gain & -gain
                support[fact] = move
                gain ^= fact
        if layer == reached:
            return support
        reached, waiting = layer, still


def _extract(start: int, goal: int, support: dict[int, Move]) -> Estimate | None:
    used: dict[int, Move] = {}
    open_ = goal & ~start
    met = start
    while open_:
        fact = open_ & -open_
        move = support.get(fact)
        if move is None:
            return None
        used[move.operator] = move
        met |= move.add | fact
        open_ = (open_ | move.need) & ~met
    return Estimate(len(used), tuple(used.values()))


def _mask(facts: Iterable[int]) -> int:
    mask = 0
    for fact in facts:
        mask |= 1 << fact
    return mask
