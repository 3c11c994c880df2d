"""Plans over a game's states: A* with a delete-relaxation heuristic, first on what seems to matter.

A full-size room has thousands of operators and a walk to everywhere in every state, yet a plan
touches a handful of them. So the planner first asks the relaxation (relaxed.py) which ways to the
goal are cheapest, keeps the operators that move between the facts of these ways, and searches with
them alone; only if that fails does it search with all. The heuristic is not admissible, but so
close to the truth that plans are shortest or nearly so. Nothing here knows what a fact or an
operator means.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

from agentgym.envs.alfworld.engine import Game
from agentgym.envs.alfworld.experts.relaxed import Choices, Move, Relaxation, cheapest, estimates

_SLACK = 1  # a way to the goal this much dearer than the cheapest is still looked into
_WAYS = 6  # to each part of the goal, at most
_ESTIMATES = 5_000  # before a search gives up, after seconds; a household takes a few hundred


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan.

    Attributes:
        state: The state in which the operator is to be applied.
        operator: The operator's number in the game.
    """

    state: int
    operator: int


class Planner:
    """Finds plans for one game, from any of its states.

    Args:
        game: The game.
    """

    def __init__(self, game: Game) -> None:
        self._game = game
        self._relaxation = Relaxation(game)

    def plan(self, state: int) -> list[Step] | None:
        """Return steps that lead from a state to the goal; equal states get equal plans.

        Returns:
            The steps, none where the goal holds already; None where no plan was found.
        """
        if self._game.is_goal(state):
            return []
        whole = self._relaxation
        worthwhile = self._worthwhile(whole.extend(state))
        if worthwhile is None:
            return None
        found = self._search(state, *worthwhile) or self._search(state, whole.moves, whole.goal)
        return None if found is None else self._plainly(found)

    def _worthwhile(self, start: int) -> tuple[list[Move], Choices] | None:
        """Choose the ways to the goal that look cheapest, and the moves that serve them.

        Returns:
            The moves and the ways, or None where there is no way even if nothing is ever lost.
        """
        relaxation = self._relaxation
        ways: list[tuple[int, ...]] = []
        facts = 0
        for masks, part in zip(
            relaxation.goal, estimates(start, relaxation.moves, relaxation.goal), strict=True
        ):
            ranked = sorted(
                (estimate.cost, rank) for rank, estimate in enumerate(part) if estimate is not None
            )
            kept = [rank for cost, rank in ranked[:_WAYS] if cost <= ranked[0][0] + _SLACK]
            ways.append(tuple(masks[rank] for rank in kept))
            for rank in kept:
                estimate = part[rank]
                assert estimate is not None  # only those were ranked
                facts |= masks[rank]
                for move in estimate.moves:
                    facts |= move.need
        if not all(ways):
            return None
        at_hand = facts | start
        moves = [move for move in relaxation.moves if move.add & facts and not move.need & ~at_hand]
        return moves, tuple(ways)

    def _search(self, state: int, moves: list[Move], ways: Choices) -> list[Step] | None:
        game, extend = self._game, self._relaxation.extend
        physical, is_goal, apply = game.physical, game.is_goal, game.apply
        estimate = cheapest(extend(state), moves, ways)
        if estimate is None:
            return None
        came: dict[int, Step | None] = {state & physical: None}
        depth = {state & physical: 0}
        # Of two states that look equally good the deeper goes first, then the older.
        queue: list[tuple[int, int, int, int]] = [(estimate, 0, 0, state)]
        born = 0
        closed: set[int] = set()
        while queue and born < _ESTIMATES:
            _, _, _, current = heappop(queue)
            key = current & physical
            if key in closed:
                continue
            closed.add(key)
            if is_goal(current):
                return _trace(key, came, physical)
            steps = depth[key] + 1
            for operator in self._applicable(current, moves):
                reached = apply(current, operator)
                child = reached & physical
                if depth.get(child, steps + 1) <= steps:
                    continue
                estimate = cheapest(extend(reached), moves, ways)
                if estimate is None:
                    continue
                depth[child] = steps
                came[child] = Step(current, operator)
                closed.discard(child)
                born += 1
                heappush(queue, (steps + estimate, -steps, born, reached))
        return None

    def _plainly(self, plan: list[Step]) -> list[Step]:
        """Of operators that come to the same, prefer the one that names what the next step needs.

        Two receptacles can share a spot: go to the one that is used then.
        """
        game, physical = self._game, self._game.physical
        named: frozenset[str] = frozenset()
        said: list[Step] = []
        for step in reversed(plan):
            best, most = step.operator, self._names(step.operator, named)
            reached = game.apply(step.state, step.operator) & physical
            for operator in self._applicable(step.state, self._relaxation.moves):
                names = self._names(operator, named)
                if names > most and game.apply(step.state, operator) & physical == reached:
                    best, most = operator, names
            named = frozenset(game.operators[best].args)
            said.append(Step(step.state, best))
        return said[::-1]

    def _names(self, operator: int, wanted: frozenset[str]) -> int:
        return len(wanted.intersection(self._game.operators[operator].args))

    def _applicable(self, state: int, moves: Iterable[Move]) -> Iterator[int]:
        # The game could tell, too, but it would also find out how to say each command.
        here, operators = self._relaxation.extend(state), self._game.operators
        for move in moves:
            if not move.need & ~here and not any(
                test.holds(state) for test in operators[move.operator].unless
            ):
                yield move.operator


def _trace(key: int, came: dict[int, Step | None], physical: int) -> list[Step]:
    steps: list[Step] = []
    step = came[key]
    while step is not None:
        steps.append(step)
        step = came[step.state & physical]
    return steps[::-1]
