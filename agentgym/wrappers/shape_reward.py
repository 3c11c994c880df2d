"""`ShapeReward`: add a weighted function of what happened to the task's reward."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentgym.env import AgentEnv, Observation
from agentgym.wrappers.base import AgentWrapper, StepResult


@dataclass(frozen=True, slots=True)
class Transition:
    """What a shaping function sees of a turn.

    Attributes:
        action: What the model wrote.
        observation: What it led to.
        reward: The reward so far, wrappers further in included.
        terminated: Whether the world ended the episode.
        truncated: Whether a limit ended it.
        info: The step's `info`.
    """

    action: str
    observation: Observation
    reward: float
    terminated: bool
    truncated: bool
    info: Mapping[str, Any]


class ShapeReward(AgentWrapper):
    """Adds `weight * function(transition)` to every turn's reward.

    What was added is in `info["shaping"]`, summed over all wrappers that shape, so that the task's
    own reward is `reward - info["shaping"]`. An arbitrary function can change which policy is best;
    `PotentialShaping` can't.

    Args:
        env: The environment.
        function: What the turn is worth. A function of a module (no lambda) if the environment is
            to be made in another process.
        weight: What that is multiplied with.

    Example:
        >>> import agentgym
        >>> from agentgym.wrappers import ShapeReward
        >>> def cost(transition):
        ...     return -1.0
        >>> env = ShapeReward(agentgym.make("agentgym/ALFWorld-v0"), cost, weight=0.01)
    """

    def __init__(
        self,
        env: AgentEnv | AgentWrapper,
        function: Callable[[Transition], float],
        weight: float = 1.0,
    ) -> None:
        super().__init__(env, function=function, weight=weight)
        self.function, self.weight = function, weight

    def step(self, action: str) -> StepResult:
        """Take one turn."""
        observation, reward, terminated, truncated, info = super().step(action)
        turn = Transition(action, observation, reward, terminated, truncated, info)
        added = self.weight * float(self.function(turn))
        info["shaping"] = info.get("shaping", 0.0) + added
        return observation, reward + added, terminated, truncated, info
