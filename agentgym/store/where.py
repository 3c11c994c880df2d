"""Conditions on summaries, as one writes them on a command line: `success=true`, `step>=10`.

A condition is a field of `Summary`, one of `=`, `!=`, `<`, `<=`, `>`, `>=`, and a value. For text
`=` and `!=` take wildcards (`env_id=agentgym/ALF*`). Several conditions hold together. In Python
any function from `Summary` to bool does.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from types import NoneType
from typing import Any, cast, get_args, get_origin, get_type_hints

from agentgym.errors import UnknownNameError, UsageError
from agentgym.store.summary import Summary

Where = Callable[[Summary], bool]

_FORM = re.compile(r"\s*(\w+)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)
_BOOLS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Operator(StrEnum):
    """How a condition compares."""

    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="


_COMPARE: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.MORE: operator.gt,
    Operator.AT_LEAST: operator.ge,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition.

    Attributes:
        field: Name of the field of `Summary`.
        operator: How to compare.
        value: What to compare with; for text, a pattern with wildcards.
    """

    field: str
    operator: Operator
    value: str | float | bool | None

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Read a condition.

        Raises:
            UnknownNameError: If the field is not one of `Summary`.
            UsageError: If it has another form, or the value does not fit the field.
        """
        form = _FORM.fullmatch(text)
        if form is None:
            raise UsageError(f"A condition has the form field=value or step>=10, got {text!r}")
        name, sign, value = form.groups()
        kind = _kinds().get(name)
        if kind is None:
            raise UnknownNameError("field", name, _kinds())
        condition = cls(name, Operator(sign), _value(text, kind, value))
        if condition.value is None and condition.operator in _COMPARE:
            raise UsageError(f"{text!r}: null is in no order; compare with = or !=")
        return condition

    def __call__(self, summary: Summary) -> bool:
        """Return whether the condition holds; a field that is None is in no order."""
        actual = getattr(summary, self.field)
        if self.operator in _COMPARE:
            return actual is not None and _COMPARE[self.operator](actual, self.value)
        if isinstance(actual, str) and isinstance(self.value, str):
            equal = fnmatchcase(actual, self.value)
        else:
            equal = actual == self.value
        return equal == (self.operator is Operator.EQUAL)


def parse_conditions(texts: Sequence[str]) -> Where:
    """Return a function that says whether all of the conditions hold.

    Raises:
        UsageError: If one can't be read.
    """
    conditions = [Condition.parse(text) for text in texts]
    return lambda summary: all(condition(summary) for condition in conditions)


def _kinds() -> dict[str, type]:
    hints = get_type_hints(Summary)
    kinds = {
        field.name: next((arm for arm in get_args(hint) if arm is not NoneType), hint)
        for field in fields(Summary)
        if get_origin(hint := hints[field.name]) is not Mapping
    }
    return cast("dict[str, type]", kinds)


def _value(text: str, kind: type, value: str) -> str | float | bool | None:
    if issubclass(kind, str):
        return value
    if value.lower() in ("none", "null"):
        return None
    if kind is bool:
        if value.lower() not in _BOOLS:
            raise UsageError(f"{text!r}: the value must be true or false")
        return _BOOLS[value.lower()]
    try:
        return float(value)
    except ValueError:
        raise UsageError(f"{text!r}: the value must be a number") from None
