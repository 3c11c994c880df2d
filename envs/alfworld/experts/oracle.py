"""The expert that sees everything: it plans on the true state.

It plans once and follows the plan for as long as the state is one that the plan passes through;
when somebody strays, it plans anew from there. Its plans are what game files store as walkthroughs.
Don't imitate it: it goes straight to what no reader of the text could know.
"""

from collections.abc import Mapping

from agentgym.envs.alfworld.engine import Game, Play
from agentgym.envs.alfworld.experts.planner import Planner
from agentgym.errors import DataError


class Oracle:
    """Knows the state of a game and the shortest way to win, or one very close to it.

    Args:
        game: The game that it advises on.
    """

    def __init__(self, game: Game) -> None:
        self._game = game
        self._planner = Planner(game)
        self._path: dict[int, int] = {}

    def observe(self, command: str, play: Play) -> None:
        """Take note of a turn: nothing to do, the state says it all."""

    def advise(self, play: Play) -> str | None:
        """Return the next command, or None where the game is won or can't be."""
        if play.done:
            return None
        state = play.state & self._game.physical
        operator = self._path.get(state)
        if operator is None:
            plan = self._planner.plan(play.state)
            if not plan:
                return None
            self._path = {step.state & self._game.physical: step.operator for step in plan}
            operator = plan[0].operator
        return self._game.command(operator)


def solve(data: Mapping[str, object]) -> list[str]:
    """Return commands that win a game: a walkthrough for `generate(…, walkthrough=solve)`.

    Args:
        data: What a game.tw-pddl file holds.

    Raises:
        DataError: The game can't be read or can't be won.
    """
    game = Game.from_data(data)
    plan = Planner(game).plan(game.initial)
    if plan is None:
        raise DataError("no way to win this game was found; check its goal and its initial facts")
    return [game.command(step.operator) for step in plan]
