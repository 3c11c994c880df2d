"""How an episode ended, as far as its environment's `info` tells: read with distrust.

Environments of our own keep to the contract; a foreign one puts into `info` what it likes, and one
odd value must not take the other episodes of a rollout along. Why the episode ended and whether it
was a success decide what is learnt from it, so what can't be read there is the environment's bug.
Its figures decide nothing: those that are no numbers are left out.
"""

from collections.abc import Mapping
from numbers import Real
from typing import Any, cast

import numpy as np

from agentgym.errors import EnvError
from agentgym.stop_reason import StopReason
from agentgym.workers import Step


def stop_reason(step: Step) -> StopReason | None:
    """Return why a step ended the episode; None if it didn't.

    A foreign environment says less than ours: one that terminated succeeded if its `info` says so
    ("success" or "is_success"), or, where that says nothing, if the last reward was positive; one
    that truncated ran out of turns.

    Raises:
        EnvError: If what `info` says can't be read.
    """
    given = step.info.get("stop_reason")
    if given is not None:
        try:
            return StopReason(given)
        except (ValueError, TypeError) as fault:
            known = ", ".join(StopReason)
            raise EnvError(
                f"The environment gave info['stop_reason'] = {_short(given)}, which is none; it is "
                f"None while the episode goes on, and then one of {known}."
            ) from fault
    if step.terminated:
        for key in ("success", "is_success"):
            if key in step.info:
                return StopReason.SUCCESS if _truth(step.info, key) else StopReason.FAILURE
        return StopReason.SUCCESS if step.reward > 0 else StopReason.FAILURE
    return StopReason.TURN_LIMIT if step.truncated else None


def succeeded(info: Mapping[str, Any], reason: StopReason) -> bool:
    """Return whether the task was done; an episode that ended in an error is never a success.

    Args:
        info: The environment's last.
        reason: Why the episode ended; says it where `info` doesn't.

    Raises:
        EnvError: If what `info` says can't be read.
    """
    if not reason.trainable:
        return False
    return _truth(info, "success") if "success" in info else reason is StopReason.SUCCESS


def figures(info: Mapping[str, Any]) -> dict[str, float]:
    """Return the environment's figures: of `info["metrics"]` the numbers that have a name."""
    given = info.get("metrics")
    if not isinstance(given, Mapping):
        return {}
    kept: dict[str, float] = {}
    for name, value in cast("Mapping[object, object]", given).items():
        if isinstance(name, str) and isinstance(value, Real | np.bool_):
            try:
                kept[name] = float(value)
            except OverflowError:  # a whole number that no float holds
                continue
    return kept


def _truth(info: Mapping[str, Any], key: str) -> bool:
    try:
        return bool(info[key])
    except Exception as fault:  # an array has no truth, and the class may be anybody's
        raise EnvError(
            f"The environment gave info[{key!r}] = {_short(info[key])}, which is neither true nor "
            "false; it is a bool."
        ) from fault


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "…"
