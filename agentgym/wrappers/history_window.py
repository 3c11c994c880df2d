"""`HistoryWindow`: write the last turns into the observation, for policies without memory."""

from collections import deque
from typing import Any

from agentgym.env import AgentEnv, Observation
from agentgym.errors import UsageError
from agentgym.wrappers.base import AgentWrapper, StepResult


class HistoryWindow(AgentWrapper):
    """Shows the last `turns` observation and action pairs before the current observation.

    For policies that see one observation at a time. The first observation, which usually states the
    task, stays in view, and how many turns are left out after it is said. Actions are
    shown as they were written. Images and `info` are left alone; a policy that keeps the
    conversation itself needs no such wrapper.

    Args:
        env: The environment.
        turns: How many pairs to show; 0 shows the first and the current observation.
        keep_first: Whether the first observation stays when it has left the window.

    Raises:
        UsageError: If `turns` is negative.

    Example:
        >>> import agentgym
        >>> from agentgym.wrappers import HistoryWindow
        >>> env = HistoryWindow(agentgym.make("agentgym/ALFWorld-v0"), turns=2)
    """

    def __init__(self, env: AgentEnv | AgentWrapper, turns: int, keep_first: bool = True) -> None:
        if turns < 0:
            raise UsageError(f"turns must not be negative, got {turns}")
        super().__init__(env, turns=turns, keep_first=keep_first)
        self.turns, self.keep_first = turns, keep_first
        self._first = self._current = ""
        self._pairs: deque[tuple[str, str]] = deque(maxlen=turns)
        self._taken = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode with an empty history."""
        observation, info = super().reset(seed=seed, options=options)
        self._first = self._current = observation["text"]
        self._pairs.clear()
        self._taken = 0
        return observation, info

    def step(self, action: str) -> StepResult:
        """Take one turn and add it to the history."""
        observation, reward, terminated, truncated, info = super().step(action)
        self._pairs.append((self._current, action))
        self._taken += 1
        self._current = observation["text"]
        shown: Observation = {**observation, "text": self._written()}
        return shown, reward, terminated, truncated, info

    def _written(self) -> str:
        left_out = self._taken - len(self._pairs)
        parts: list[str] = []
        if left_out and self.keep_first:
            parts.append(f"Observation: {self._first}")
        if left_out:
            parts.append(f"[{left_out} earlier turn{'s' if left_out > 1 else ''} left out]")
        for seen, action in self._pairs:
            parts += [f"Observation: {seen}", f"Action: {action}"]
        return "\n".join([*parts, f"Observation: {self._current}"])
