"""`FormatPenalty`: take something off the reward of an action that made no sense."""

from agentgym.env import AgentEnv
from agentgym.errors import UsageError
from agentgym.wrappers.base import AgentWrapper, StepResult


class FormatPenalty(AgentWrapper):
    """Subtracts `penalty` from the reward of every turn with an `info["action_error"]`.

    That is an action that does not parse, that calls no tool or calls it wrongly, and whatever else
    the environment counts as the model's mistake. What was subtracted is in `info["shaping"]`.

    Args:
        env: The environment.
        penalty: What a bad action costs; not negative.

    Raises:
        UsageError: If `penalty` is negative.

    Example:
        >>> import agentgym
        >>> from agentgym.wrappers import FormatPenalty
        >>> env = FormatPenalty(agentgym.make("agentgym/ALFWorld-v0"), penalty=0.1)
    """

    def __init__(self, env: AgentEnv | AgentWrapper, penalty: float = 0.1) -> None:
        if penalty < 0:
            raise UsageError(f"penalty is subtracted, so it must not be negative; got {penalty}")
        super().__init__(env, penalty=penalty)
        self.penalty = penalty

    def step(self, action: str) -> StepResult:
        """Take one turn."""
        observation, reward, terminated, truncated, info = super().step(action)
        added = -self.penalty if info["action_error"] is not None else 0.0
        info["shaping"] = info.get("shaping", 0.0) + added
        return observation, reward + added, terminated, truncated, info
