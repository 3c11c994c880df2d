"""Reading JSON that a model wrote: every fault is a sentence, no fault is an exception."""

import json
import math
from typing import Any, cast

# The interpreter's own limit depends on how deep the caller's stack is, so one text would parse in
# one process and fail in another.
_MAX_NESTING = 100
_TOO_LARGE = "not valid JSON: a number or a nesting is too large"


def read_object(text: str) -> tuple[dict[str, Any], str | None]:
    """Return (object, None), or ({}, what is wrong).

    Numbers are finite: NaN and Infinity, which Python's reader admits, are no JSON.
    """
    try:
        value: object = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError as fault:
        return {}, f"not valid JSON: {fault.msg} at character {fault.pos}"
    except (ValueError, RecursionError):
        return {}, _TOO_LARGE
    if not isinstance(value, dict):
        return {}, f"must be a JSON object, got {type(value).__name__}"
    if _nests_deeper(value, _MAX_NESTING):
        return {}, _TOO_LARGE
    return cast("dict[str, Any]", value), None


def write_object(value: dict[str, Any]) -> str:
    """Write an object on one line, as chat templates do.

    What JSON can't hold (a loop, a nesting without end) is written as an empty object, so that
    writing never raises; no schema with required arguments takes it.
    """
    try:
        return json.dumps(value, ensure_ascii=False, default=str, skipkeys=True)
    except (ValueError, RecursionError):
        return "{}"


def blocks(text: str, opening: str, closing: str) -> tuple[list[str], str, bool]:
    """Cut out what stands between tags, in one pass over the text.

    Returns:
        The blocks, the text before the first of them, and whether a last block was left open.
    """
    found: list[str] = []
    start = text.find(opening)
    before = text if start < 0 else text[:start]
    while start >= 0:
        end = text.find(closing, start + len(opening))
        if end < 0:
            return found, before, True
        found.append(text[start + len(opening) : end])
        start = text.find(opening, end + len(closing))
    return found, before, False


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


def _nests_deeper(value: object, limit: int) -> bool:
    level: list[object] = [value]
    for _ in range(limit):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(cast("dict[str, object]", item).values())
            elif isinstance(item, list):
                below.extend(cast("list[object]", item))
        if not below:
            return False
        level = below
    return True
