"""Reading JSON that a model wrote: every fault is a sentence, no fault is an exception."""

import json
from typing import Any, cast


def read_object(text: str) -> tuple[dict[str, Any], str | None]:
    """Return (object, None), or ({}, what is wrong)."""
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError as fault:
        return {}, f"not valid JSON: {fault.msg} at character {fault.pos}"
    except (ValueError, RecursionError):
        return {}, "not valid JSON: a number or a nesting is too large"
    if not isinstance(value, dict):
        return {}, f"must be a JSON object, got {type(value).__name__}"
    return cast("dict[str, Any]", value), None


def write_object(value: dict[str, Any]) -> str:
    """Write an object on one line, as chat templates do."""
    return json.dumps(value, ensure_ascii=False, default=str)


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
