"""The expert that knows what a reader of the text knows, and looks for the rest in likely places.

It is fed texts, never a game. What it has not seen it imagines: the missing object lies in the most
promising place that nobody looked into. On what it knows and imagines it plans as if all of it were
true, takes the plan's first step, reads the answer, and plans again. An imagined thing can't be
handled, so where the plan comes to that, the explorer looks: it opens the place, or examines it. It
keeps no plan: equal beliefs lead to equal commands, which is what makes it easy to imitate.
"""

import re
from collections.abc import Sequence

from agentgym.envs.alfworld.experts.belief import Belief
from agentgym.envs.alfworld.experts.focus import IMAGINED, Lens
from agentgym.envs.alfworld.experts.likely import Search, look_into
from agentgym.envs.alfworld.experts.situation import next_step
from agentgym.envs.alfworld.experts.task_line import read_goal
from agentgym.envs.alfworld.generator import Goal
from agentgym.errors import DataError, UsageError

_TRIES = 4  # commands that turn out to be impossible, before it only looks around


class Explorer:
    """Plays a household game by its texts.

    Call `begin` with the first text, `observe` after each command, whoever chose it, and `advise`
    for the command to give next.
    """

    def __init__(self) -> None:
        self._mind: _Mind | None = None

    def begin(self, feedback: str, admissible: Sequence[str]) -> None:
        """Start an episode.

        Args:
            feedback: The first text of the game.
            admissible: The commands that would do something.

        Raises:
            DataError: The task is not in ALFWorld's words, or the text names no receptacle.
        """
        belief = Belief(feedback, admissible)
        if not belief.places:
            raise DataError("the text names no receptacle; pass the game's first text")
        self._mind = _Mind(read_goal(feedback), belief, admissible)

    def observe(self, command: str, feedback: str, admissible: Sequence[str]) -> None:
        """Take note of a turn.

        Args:
            command: What was commanded; the answer says all there is to learn from it.
            feedback: The answer.
            admissible: The commands that would do something now.
        """
        mind = self._begun()
        mind.admissible = admissible
        mind.belief.observe(feedback, admissible)

    def advise(self) -> str | None:
        """Return the next command, or None where the goal seems to be reached."""
        return self._begun().decide()

    def _begun(self) -> "_Mind":
        if self._mind is None:
            raise UsageError("the explorer knows of no episode; call begin with the first text")
        return self._mind


class _Mind:
    """One episode: what is believed, and what can be done."""

    def __init__(self, goal: Goal, belief: Belief, admissible: Sequence[str]) -> None:
        self.belief = belief
        self.admissible = admissible
        self._lens = Lens(goal, Search(belief, goal.place_kind).best)

    def decide(self) -> str | None:
        for _ in range(_TRIES):
            command = self._plan()
            if command is None:
                break
            if not command:
                return None
            if command in self.admissible:
                return command
            self._doubt(command)
        return self._look_around()

    def _plan(self) -> str | None:
        """Return the next command, "" where the goal seems reached, None where there is no way."""
        focus = self._lens.focus(self.belief)
        step = next_step(focus.situation)
        if step is None:
            return None
        # Where the goal is reached in imagination only, what is imagined must be looked for, too.
        for i in step.pieces if step.template else range(len(focus.things)):
            thing = focus.things[i]
            if thing.name == IMAGINED and thing.place is not None:
                return look_into(self.belief.places[thing.place], self.belief)
        return step.template.format(p=focus.places, t=focus.things)

    def _doubt(self, command: str) -> None:
        """Correct what made an impossible command look possible."""
        belief = self.belief
        for place in belief.places.values():
            if command == f"go to {place.name}" and belief.spot is not None:
                place.spot = belief.spot
        for name in list(belief.things):
            if re.search(rf"\b{re.escape(name)}\b", command):
                belief.forget(name)

    def _look_around(self) -> str | None:
        """Return a command that may show something new, where no plan helps."""
        for place in self.belief.places.values():
            command = look_into(place, self.belief)
            if not place.seen and command in self.admissible:
                return command
        return "look" if "look" in self.admissible else None
