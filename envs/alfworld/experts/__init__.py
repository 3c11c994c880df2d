"""Who knows how to play: two experts, neither of them written for a task.

The oracle plans on the true state; its plans are walkthroughs. The explorer plans on what the text
has shown so far and looks in likely places for the rest; demonstrations come from it, since a model
that can't see the state can't imitate the oracle. `make_expert(name, game, play)` puts either
beside a play: it is told of every turn, whoever took it, and says at any time what it would do
next. Start reading at `explorer.py`; `planner.py` is what both plan with.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from agentgym.envs.alfworld.engine import Game, Play
from agentgym.envs.alfworld.experts.explorer import Explorer
from agentgym.envs.alfworld.experts.oracle import Oracle, solve
from agentgym.envs.alfworld.experts.planner import Planner
from agentgym.errors import UnknownNameError


class Expert(Protocol):
    """Advises whoever plays."""

    def observe(self, command: str, play: Play) -> None:
        """Take note of a turn.

        Args:
            command: What was commanded.
            play: The play after it.
        """
        ...

    def advise(self, play: Play) -> str | None:
        """Return the command that the expert would give now, or None where it has none."""
        ...


class Onlooker:
    """Lets an explorer follow a play, and shows it nothing but what a player sees.

    Args:
        play: The play at its start.
    """

    def __init__(self, play: Play) -> None:
        self._explorer = Explorer()
        self._explorer.begin(play.feedback, play.admissible)

    def observe(self, command: str, play: Play) -> None:
        """Take note of a turn."""
        self._explorer.observe(command, play.feedback, play.admissible)

    def advise(self, play: Play) -> str | None:
        """Return the explorer's next command, or None once the game is won."""
        return None if play.done else self._explorer.advise()


EXPERTS: Mapping[str, Callable[[Game, Play], Expert]] = MappingProxyType(
    {
        "oracle": lambda game, play: Oracle(game),
        "explorer": lambda game, play: Onlooker(play),
    }
)
"""Name → what makes the expert for a play at its start."""


def make_expert(name: str, game: Game, play: Play) -> Expert:
    """Return an expert by name.

    Args:
        name: "oracle" or "explorer".
        game: The game.
        play: The play that it is to follow, at its start.

    Raises:
        UnknownNameError: There is no such expert.
    """
    maker = EXPERTS.get(name)
    if maker is None:
        raise UnknownNameError("ALFWorld expert", name, EXPERTS)
    return maker(game, play)


__all__ = ["EXPERTS", "Expert", "Explorer", "Onlooker", "Oracle", "Planner", "make_expert", "solve"]
