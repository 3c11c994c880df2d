"""One player's walk through a game: a state, the last text, and nothing else.

A play weighs a few hundred bytes; everything that is expensive belongs to the game. Commands are
matched exactly, after white space around them is dropped, as TextWorld does.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentgym.envs.alfworld.engine.game import Game


class Play:
    """A game in progress.

    Attributes:
        game: What is played.
        state: The state, as an int (see `Game`).
        feedback: The last text: the introduction, or the answer to the last command.
        obeyed: Whether the last command did something; true before the first one.
        won: Whether the goal holds.
    """

    __slots__ = ("_moves", "feedback", "game", "obeyed", "state", "won")

    def __init__(self, game: "Game", state: int, feedback: str) -> None:
        self.game = game
        self.state = state
        self.feedback = feedback
        self.obeyed = True
        self.won = game.is_goal(state)
        self._moves = game.moves(state)

    @property
    def admissible(self) -> list[str]:
        """The commands that do something here, sorted."""
        return list(self._moves)

    @property
    def done(self) -> bool:
        """Whether the game is over; a game can be won, never lost."""
        return self.won

    def step(self, command: str) -> str:
        """Obey a command and return the feedback.

        Any text is a command: what is not admissible changes nothing. A game goes on after it was
        won.
        """
        operator = self._moves.get(command.strip())
        self.obeyed = operator is not None
        if operator is None:
            self.feedback = "Nothing happens."
        else:
            game = self.game
            self.state = state = game.apply(self.state, operator)
            self.feedback = game.feedback(operator, state)
            self._moves = game.moves(state)
            self.won = game.is_goal(state)
        return self.feedback

    def copy(self) -> "Play":
        """Return an independent play that goes on from here."""
        other = object.__new__(Play)
        other.game = self.game
        other.state = self.state
        other.feedback = self.feedback
        other.obeyed = self.obeyed
        other.won = self.won
        other._moves = self._moves
        return other
