"""Why an episode ended: one enum, used by environments, rollouts, the store and the trainers alike.

What the model did (`success`, `failure`, the limits) is trained on. What the world did to it
(`env_error`, `infra_error`) and what the policy's own machinery did (`policy_error`) is recorded
and counted, and enters neither a loss nor a group statistic.
"""

from enum import StrEnum


class StopReason(StrEnum):
    """Why an episode ended."""

    SUCCESS = "success"
    """The task was done."""
    FAILURE = "failure"
    """The episode ended on its own without the task being done."""
    TURN_LIMIT = "turn_limit"
    """The turns ran out."""
    TOKEN_LIMIT = "token_limit"
    """The conversation grew to the policy's context length, or to the token budget."""
    TIME_LIMIT = "time_limit"
    """The task's own clock ran out."""
    POLICY_ERROR = "policy_error"
    """The policy could not answer."""
    ENV_ERROR = "env_error"
    """The environment has a bug."""
    INFRA_ERROR = "infra_error"
    """A resource failed, on every retry."""

    @property
    def trainable(self) -> bool:
        """Whether it says something about the model, so that it may be trained on."""
        return self not in _FAULTS

    @property
    def truncates(self) -> bool:
        """Whether a limit cut it short, so that a value estimate may bootstrap from its end."""
        return self in _LIMITS


_FAULTS = frozenset({StopReason.POLICY_ERROR, StopReason.ENV_ERROR, StopReason.INFRA_ERROR})
_LIMITS = frozenset({StopReason.TURN_LIMIT, StopReason.TOKEN_LIMIT, StopReason.TIME_LIMIT})
