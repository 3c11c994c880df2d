"""Judges: how well a task in a browser is done, after a turn.

A judge is a function of a `Visit`, or a mapping of conditions, which files of tasks can hold:

| condition | holds where |
|---|---|
| `url`, `title`, `text`, `message` | this regular expression is found in it |
| `script` | this function in JavaScript gives true, or a number from 0 to 1, on the page |
| `infeasible` | the model said that the task can't be done |

All of several conditions have to hold; the value is the least of theirs. A script that fails on a
page, since what it looks for isn't there, doesn't hold.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentgym.errors import EnvError, UsageError

_PATTERNS = ("url", "title", "text", "message")
_KNOWN = (*_PATTERNS, "script", "infeasible")

Evaluate = Callable[[str], Awaitable[Any]]
"""Runs a function in JavaScript on the page; None where it fails there."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What a judge sees.

    Attributes:
        url: The address of the page that is looked at.
        title: Its title.
        text: What the model reads of it, whole.
        message: What the model told the user; None if it hasn't.
        infeasible: Why the model says that the task can't be done; None if it doesn't.
    """

    url: str
    title: str
    text: str
    message: str | None = None
    infeasible: str | None = None


Judge = Callable[[Visit], bool | float]
"""How well the task is done, from 0 to 1."""


class Judgement:
    """A judge of either kind.

    Args:
        judge: A function of a `Visit`, or conditions.

    Raises:
        UsageError: If a condition is none.
    """

    def __init__(self, judge: Judge | Mapping[str, Any]) -> None:
        self._function = judge if callable(judge) else None
        self._conditions: Mapping[str, Any] = {} if callable(judge) else judge
        if self._function is not None:
            return
        if not isinstance(judge, Mapping) or not judge:
            raise UsageError(f"A judge is a function or a mapping of {list(_KNOWN)}; got {judge!r}")
        for key, value in judge.items():
            if key not in _KNOWN:
                raise UsageError(f"A judge has no condition {key!r}; it has {list(_KNOWN)}")
            wanted = bool if key == "infeasible" else str
            if not isinstance(value, wanted):
                raise UsageError(f"A judge's {key} is a {wanted.__name__}, got {value!r}")
            if key in _PATTERNS:
                try:
                    re.compile(str(value))
                except re.error as fault:
                    raise UsageError(f"A judge's {key} is a regular expression: {fault}") from None

    async def value(self, visit: Visit, evaluate: Evaluate) -> float:
        """Return how well the task is done, from 0 to 1.

        Raises:
            EnvError: If the judge fails, or gives something else.
        """
        if self._function is not None:
            try:
                return _measure(self._function(visit))
            except EnvError:
                raise
            except Exception as fault:
                raise EnvError(f"The judge failed: {type(fault).__name__}: {fault}") from fault
        values = [await self._holds(*each, visit, evaluate) for each in self._conditions.items()]
        return min(values)

    async def _holds(self, key: str, wanted: Any, visit: Visit, evaluate: Evaluate) -> float:
        if key == "script":
            told = await evaluate(wanted)
            return 0.0 if told is None else _measure(told)
        if key == "infeasible":
            return float((visit.infeasible is not None) == wanted)
        return float(re.search(wanted, getattr(visit, key) or "") is not None)


def _measure(value: Any) -> float:
    if isinstance(value, bool | int | float) and 0 <= value <= 1:
        return float(value)
    raise EnvError(f"A judge gives true, false or a number from 0 to 1; got {value!r}")
