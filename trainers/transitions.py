"""Transitions of whole turns, and the buffer that off-policy critics learn from.

At the utterance level a state is everything that the policy had read when it answered, an action is
the whole answer, stop token included. Both are the ids that were really read and sampled. A
transition refers to its trajectory and puts its ids together when asked, so a buffer costs what the
trajectories cost, once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentgym.errors import UsageError
from agentgym.trainers.batch import TurnTable
from agentgym.trajectory import Ids, Trajectory

_EMPTY = "The replay buffer is empty; add transitions first."


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """One turn of a trajectory, as (s, a, r, s').

    Attributes:
        trajectory: Where it comes from.
        turn: Index of the turn.
        reward: What the turn earned, penalties included.
    """

    trajectory: Trajectory
    turn: int
    reward: float

    @property
    def state_ids(self) -> Ids:
        """s: the whole prompt that the turn answered, shape (T,)."""
        return self.trajectory.context_ids(self.turn)

    @property
    def action_ids(self) -> Ids:
        """a: the sampled ids, stop token included, shape (n,)."""
        return self.trajectory.turns[self.turn].completion_ids

    @property
    def next_ids(self) -> Ids | None:
        """s': the prompt that came next, shape (T',); None where the episode was over.

        An episode that a limit cut short was not over: the prompt that would have come next stands
        for it.
        """
        following = self.turn + 1
        if following == len(self.trajectory.turns) and not self.trajectory.stop_reason.truncates:
            return None
        ids = self.trajectory.context_ids(following)
        return ids if len(ids) else None


def transitions(trajectories: Sequence[Trajectory], table: TurnTable) -> list[Transition]:
    """Return the transitions of the trainable trajectories, in order.

    Args:
        trajectories: Episodes; those that failed by the world's fault have no transitions.
        table: Their turns, whose rewards are taken.
    """
    return [
        Transition(trajectories[i], k, reward)
        for i, k, reward in zip(
            table.trajectory_K.tolist(),
            table.turn_K.tolist(),
            table.reward_K.tolist(),
            strict=True,
        )
        if trajectories[i].trainable and len(trajectories[i].turns[k].completion_ids)
    ]


class TransitionReplay:
    """The newest transitions, up to `capacity`; the oldest make way.

    Args:
        capacity: How many.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._ring: list[Transition] = []
        self._next = 0
        self._episodes: list[list[Transition]] | None = None

    def __len__(self) -> int:
        return len(self._ring)

    def add(self, fresh: Sequence[Transition]) -> None:
        """Put transitions in, in order."""
        self._episodes = None
        for transition in fresh:
            if len(self._ring) < self.capacity:
                self._ring.append(transition)
            else:
                self._ring[self._next] = transition
            self._next = (self._next + 1) % self.capacity

    def draw(self, count: int, rng: np.random.Generator) -> list[Transition]:
        """Return `count` transitions, uniformly and with replacement.

        Raises:
            UsageError: If there are none.
        """
        if not self._ring:
            raise UsageError(_EMPTY)
        return [self._ring[i] for i in rng.integers(len(self._ring), size=count)]

    def draw_episodes(self, count: int, rng: np.random.Generator) -> list[Transition]:
        """Return whole episodes, as far as they are kept, until `count` transitions are there.

        Episodes come uniformly and with replacement, so every transition is as likely as any other.

        Raises:
            UsageError: If there are none.
        """
        if self._episodes is None:
            turns: dict[int, list[Transition]] = {}
            for transition in self._ring:
                turns.setdefault(id(transition.trajectory), []).append(transition)
            self._episodes = list(turns.values())
        episodes, drawn = self._episodes, list[Transition]()
        if not episodes:
            raise UsageError(_EMPTY)
        while len(drawn) < count:
            drawn += episodes[int(rng.integers(len(episodes)))]
        return drawn

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs; `restore` reads it back."""
        return {"ring": list(self._ring), "next": self._next}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` gave."""
        self._ring, self._next = list(state["ring"]), state["next"]
        self._episodes = None
