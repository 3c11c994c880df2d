"""`Subject`: the environment under check, and one turn of it looked at from every side."""

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from agentgym.env import AgentEnv, Observation
from agentgym.errors import AgentGymError
from agentgym.registry import make
from agentgym.stop_reason import StopReason


class BrokenRuleError(AgentGymError):
    """A rule is broken; the message says what was seen and what the contract wants."""


def demand(holds: bool, sentence: str) -> None:
    """Raise `BrokenRuleError` with the sentence unless it holds."""
    if not holds:
        raise BrokenRuleError(sentence)


@dataclass(frozen=True, slots=True)
class Subject:
    """The environment under check.

    Attributes:
        env_id: Its id.
        kwargs: The options it is checked with.
    """

    env_id: str
    kwargs: Mapping[str, Any]

    @contextmanager
    def opened(self, **changes: Any) -> Generator[AgentEnv]:
        """Make the environment, with some options changed, and close it in the end."""
        env = make(self.env_id, **{**self.kwargs, **changes})
        try:
            yield env
        except BaseException:
            with suppress(Exception):  # the first fault is the one to report
                env.close()
            raise
        try:
            env.close()
        except Exception as fault:
            raise BrokenRuleError(f"close() raised {type(fault).__name__}: {fault}") from fault


@dataclass(frozen=True, slots=True)
class Seen:
    """A turn that kept the contract.

    Attributes:
        observation: What the model would see.
        reward: What the turn earned; 0 for a reset.
        terminated: Whether the world ended the episode.
        truncated: Whether a limit ended it.
        info: The `info`.
    """

    observation: Observation
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]

    @property
    def ended(self) -> bool:
        """Whether the episode is over."""
        return self.terminated or self.truncated


def begin(env: AgentEnv, seed: int | None = 0, **options: Any) -> Seen:
    """Reset the environment and check all that it returns."""
    given = env.reset(seed=seed, options=options or None)
    demand(
        isinstance(given, tuple) and len(given) == 2,  # pyright: ignore[reportUnnecessaryIsInstance, reportUnnecessaryComparison] (that is what is checked)
        f"reset() returned {given!r:.80}; it returns (observation, info).",
    )
    seen = Seen(given[0], 0.0, False, False, given[1])
    _look(env, seen, "reset()")
    return seen


def take(env: AgentEnv, action: str, what: str = "an action") -> Seen:
    """Step the environment and check all that it returns.

    Args:
        env: The environment; an episode is running.
        action: What the model would write.
        what: What the action is called in messages.
    """
    try:
        given = env.step(action)
    except Exception as fault:
        raise BrokenRuleError(
            f"step() with {what} raised {type(fault).__name__}: {fault!s:.200}. What a model "
            "writes gives an observation, never an exception."
        ) from fault
    demand(
        isinstance(given, tuple) and len(given) == 5,  # pyright: ignore[reportUnnecessaryIsInstance, reportUnnecessaryComparison] (that is what is checked)
        f"step() returned {given!r:.80}; it returns five things.",
    )
    seen = Seen(*given)
    where = f"step() with {what}"
    demand(
        isinstance(seen.reward, float | int) and math.isfinite(seen.reward),  # pyright: ignore[reportUnnecessaryIsInstance] (that is what is checked)
        f"The reward of {where} is {seen.reward!r}; it is a finite number.",
    )
    flags = {"terminated": seen.terminated, "truncated": seen.truncated}
    for name, flag in flags.items():
        demand(type(flag) is bool, f"{name} of {where} is a {type(flag).__name__}; it is a bool.")
    demand(
        not (seen.terminated and seen.truncated),
        f"{where} is terminated and truncated at once; a world that ended was not cut short.",
    )
    _look(env, seen, where)
    return seen


def _look(env: AgentEnv, seen: Seen, where: str) -> None:
    demand(
        seen.observation in env.observation_space,
        f"The observation of {where} is outside of the observation space: "
        f"{seen.observation!r:.120} is not in {env.observation_space}.",
    )
    info: object = seen.info
    demand(type(info) is dict, f"The info of {where} is a {type(info).__name__}; it is a dict.")
    missing = _KEYS - seen.info.keys()
    demand(not missing, f"The info of {where} has no {', '.join(sorted(missing))}.")
    for key, kinds in _TYPES.items():
        value = seen.info[key]
        demand(
            type(value) in kinds,
            f"info[{key!r}] of {where} is {value!r:.80}; it is of type "
            f"{' or '.join(kind.__name__ for kind in kinds)}.",
        )
    for name, figure in seen.info["metrics"].items():
        demand(
            isinstance(name, str) and isinstance(figure, float) and math.isfinite(figure),
            f"The metric {name!r} of {where} is {figure!r}; metrics are finite floats by name.",
        )
    _look_at_the_end(seen, where)
    if env.expert is not None:
        advice = seen.info.get("expert_action", 0)
        demand(
            isinstance(advice, str) or (advice is None and "expert_action" in seen.info),
            f"info['expert_action'] of {where} is {advice!r}; it is a text or None.",
        )


def _look_at_the_end(seen: Seen, where: str) -> None:
    reason, success = seen.info["stop_reason"], seen.info["success"]
    if seen.terminated:
        wanted = StopReason.SUCCESS if success else StopReason.FAILURE
        right = reason is wanted
    elif seen.truncated:
        wanted = "a limit"
        right = isinstance(reason, StopReason) and reason.truncates
    else:
        wanted = None
        right = reason is None
    demand(right, f"info['stop_reason'] of {where} is {reason!r}; here it is {wanted!r}.")


_TYPES: Mapping[str, tuple[type, ...]] = {
    "success": (bool,),
    "action_error": (str, type(None)),
    "metrics": (dict,),
    "turn": (int,),
}
_KEYS = {*_TYPES, "stop_reason"}
