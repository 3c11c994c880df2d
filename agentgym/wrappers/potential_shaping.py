"""`PotentialShaping`: reward progress by a potential, which leaves the best policy the best."""

from collections.abc import Callable, Mapping
from typing import Any

from agentgym.env import AgentEnv, Observation
from agentgym.errors import UsageError
from agentgym.wrappers.base import AgentWrapper, StepResult

Potential = Callable[[Observation, Mapping[str, Any]], float]
"""How far along an episode is, from an observation and its `info`."""


class PotentialShaping(AgentWrapper):
    """Adds `weight * (gamma * phi(s') - phi(s))` to every turn's reward.

    Ng, Harada and Russell (ICML 1999) show that exactly this form changes no optimal policy, given
    that `gamma` is the learner's discount and that the potential of a terminal state is 0. It is
    taken as 0 where the world ended the episode, and as it is where a limit cut the episode short,
    since a learner bootstraps from that state. What was added is in `info["shaping"]`.

    Args:
        env: The environment.
        potential: phi. A function of a module (no lambda) if the environment is to be made in
            another process.
        gamma: The learner's discount, from 0 to 1.
        weight: What the difference is multiplied with.

    Raises:
        UsageError: If `gamma` is out of range.

    Example:
        >>> import agentgym
        >>> from agentgym.wrappers import PotentialShaping
        >>> def progress(observation, info):
        ...     return info["metrics"].get("goals_met", 0.0)
        >>> env = PotentialShaping(agentgym.make("agentgym/ALFWorld-v0"), progress, gamma=0.99)
    """

    def __init__(
        self,
        env: AgentEnv | AgentWrapper,
        potential: Potential,
        gamma: float = 1.0,
        weight: float = 1.0,
    ) -> None:
        if not 0 <= gamma <= 1:
            raise UsageError(f"gamma must be from 0 to 1, got {gamma}")
        super().__init__(env, potential=potential, gamma=gamma, weight=weight)
        self.potential, self.gamma, self.weight = potential, gamma, weight
        self._phi = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; its first state has a potential, too."""
        observation, info = super().reset(seed=seed, options=options)
        self._phi = float(self.potential(observation, info))
        return observation, info

    def step(self, action: str) -> StepResult:
        """Take one turn."""
        observation, reward, terminated, truncated, info = super().step(action)
        phi = 0.0 if terminated else float(self.potential(observation, info))
        added = self.weight * (self.gamma * phi - self._phi)
        self._phi = phi
        info["shaping"] = info.get("shaping", 0.0) + added
        return observation, reward + added, terminated, truncated, info
