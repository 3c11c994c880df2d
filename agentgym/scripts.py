"""`Script`: an episode that is written before it is played; `Scriptwriter`: who writes them.

A solution that was worked out in text becomes an episode in two steps: a scriptwriter of the
environment's turns it into the actions that would have given it, and `convert` plays them, so that
everything between two actions is what the environment really shows. Nothing here says what an
action looks like; the environment knows that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from agentgym.errors import PolicyError, UsageError
from agentgym.message import Message
from agentgym.task import Task
from agentgym.trajectory import Trajectory


class UnscriptedError(PolicyError):
    """There is no script for a task.

    Args:
        reason: Why not, in a few words that are the same for every task with this reason.
        detail: What is particular to this one.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}" if detail else reason)

    def __reduce__(self) -> tuple[type["UnscriptedError"], tuple[str, str]]:
        return type(self), (self.reason, self.detail)


@dataclass(frozen=True, slots=True)
class Script:
    """What is to be answered in an episode, turn by turn.

    Attributes:
        actions: The actions, in the environment's action format; the last one ends the episode.
    """

    actions: tuple[str, ...]

    def flaw(self, trajectory: Trajectory) -> UnscriptedError | None:
        """Return why an episode is not to be learnt from, though it succeeded; None if it is.

        Args:
            trajectory: The script, played to its end.
        """
        del trajectory  # a script that claims nothing about what it will be shown has no flaw
        return None


class Scriptwriter(Protocol):
    """Turns worked solutions into scripts, for one environment with its options."""

    def by_rule(self, task: Task) -> Script:
        """Return the script of a task's own solution.

        Raises:
            UnscriptedError: If there is no solution, or no rule for it.
        """
        ...

    def asking(self, task: Task) -> Sequence[Message]:
        """Return what to ask a model for, so that it rewrites a task's solution as actions.

        Raises:
            UnscriptedError: If there is no solution to rewrite.
        """
        ...

    def by_model(self, task: Task, answer: str) -> Script:
        """Return the script that a model wrote.

        Args:
            task: What it was asked about.
            answer: Its text, which may be anything.

        Raises:
            UnscriptedError: If the text is no script.
        """
        ...


def scriptwriter(env: Any) -> Scriptwriter:
    """Return an environment's scriptwriter.

    Args:
        env: An environment, wrapped or not; its class offers a method `scriptwriter`.

    Raises:
        UsageError: If it has none.
    """
    offer = getattr(env.unwrapped, "scriptwriter", None)
    if not callable(offer):
        raise UsageError(
            f"{type(env.unwrapped).__name__} can't turn worked solutions into episodes: it has no "
            "scriptwriter. agentgym/CodeMath-v0 has one."
        )
    return cast("Scriptwriter", offer())
