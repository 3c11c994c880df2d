"""`TaskSampler`: which tasks a step trains on, resumable to the draw.

Tasks come in shuffled passes: every task once before any comes twice, with a new order each pass.
The state is a pass number and a position, so a checkpoint holds two integers and a resumed run
draws what the unbroken one would have drawn. Orders depend on the seed and the pass only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentgym.errors import UsageError


@dataclass(frozen=True, slots=True)
class SamplerState:
    """Where a sampler stands: how many passes are done, and how many draws into the current one."""

    passes: int = 0
    position: int = 0


class TaskSampler:
    """Draws task indices in shuffled passes.

    Args:
        tasks: The indices to draw from; at least one.
        seed: Seeds the orders.

    Raises:
        UsageError: If there are no tasks.
    """

    def __init__(self, tasks: Sequence[int], seed: int) -> None:
        if not len(tasks):
            raise UsageError(
                "There are no tasks to sample from; widen the task filter or the split."
            )
        self.tasks = tuple(tasks)
        self._seed = seed
        self.state = SamplerState()
        self._order = self._shuffled(0)

    def draw(self, count: int) -> list[int]:
        """Return the next `count` task indices."""
        drawn: list[int] = []
        passes, position = self.state.passes, self.state.position
        while len(drawn) < count:
            if position == len(self.tasks):
                passes, position = passes + 1, 0
                self._order = self._shuffled(passes)
            take = min(count - len(drawn), len(self.tasks) - position)
            drawn += self._order[position : position + take]
            position += take
        self.state = SamplerState(passes, position)
        return drawn

    def restore(self, state: SamplerState) -> None:
        """Continue from a state that `state` gave."""
        self.state = state
        self._order = self._shuffled(state.passes)

    def _shuffled(self, passes: int) -> list[int]:
        order = np.random.default_rng([self._seed, passes]).permutation(len(self.tasks))
        return [self.tasks[i] for i in order]
