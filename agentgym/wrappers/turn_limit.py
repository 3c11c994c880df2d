"""`TurnLimit`: cut an episode short after a number of turns."""

from typing import Any

from agentgym.env import AgentEnv, Observation
from agentgym.errors import EpisodeStateError, UsageError
from agentgym.stop_reason import StopReason
from agentgym.wrappers.base import AgentWrapper, StepResult


class TurnLimit(AgentWrapper):
    """Truncates an episode after `max_turns` turns.

    A limit can be tightened and not loosened: where the environment's own is lower, that one
    counts. The last turn is `truncated`, never `terminated` unless the world ended on it, and has
    `info["stop_reason"] == StopReason.TURN_LIMIT`.

    Args:
        env: The environment.
        max_turns: Most turns of an episode, at least 1.

    Raises:
        UsageError: If `max_turns` is below 1.

    Example:
        >>> import agentgym
        >>> from agentgym.wrappers import TurnLimit
        >>> env = TurnLimit(agentgym.make("agentgym/ALFWorld-v0"), max_turns=10)
        >>> env.max_turns
        10
    """

    def __init__(self, env: AgentEnv | AgentWrapper, max_turns: int) -> None:
        if max_turns < 1:
            raise UsageError(f"max_turns must be at least 1, got {max_turns}")
        super().__init__(env, max_turns=max_turns)
        self._limit = max_turns
        self._turns = 0
        self._over = False

    @property
    def max_turns(self) -> int:
        """Turns after which the episode is truncated."""
        inner = self.env.max_turns
        return self._limit if inner is None else min(inner, self._limit)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode and its count."""
        first = super().reset(seed=seed, options=options)
        self._turns, self._over = 0, False
        return first

    def step(self, action: str) -> StepResult:
        """Take one turn.

        Raises:
            EpisodeStateError: After the limit, too.
        """
        if self._over:
            raise EpisodeStateError("This episode reached its turn limit; call reset().")
        observation, reward, terminated, truncated, info = super().step(action)
        self._turns += 1
        if self._turns >= self._limit and not (terminated or truncated):
            self._over = truncated = True
            info["stop_reason"] = StopReason.TURN_LIMIT
            if "expert_action" in info:
                info["expert_action"] = None
        return observation, reward, terminated, truncated, info
