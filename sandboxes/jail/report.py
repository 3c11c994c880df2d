"""What a program reports of itself: its exit code, a limit, the last value, figures.

A report is a message (`wire.py`): a header that is short, and what may be large as it is. Whoever
reads one has no reason to believe it, keeps of it what has the right type, and spends no more
memory on it than it has bytes, by a small factor: a few bytes of JSON can be a hundred of objects.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agentgym.sandboxes.jail import wire

if TYPE_CHECKING:
    from typing import TypeGuard  # newer than the oldest Python that a box may have

FIGURES_BYTES = 16 << 20
"""What is read of figures."""

HEADER_BYTES = 1 << 16
_LIMITS = ("memory", "disk", "processes")


def tell(
    fd: int,
    told: dict[str, Any],
    value: str | None = None,
    figures: Sequence[bytes] = (),
    value_bytes: int = 0,
) -> None:
    """Write a report.

    Args:
        fd: Where it goes.
        told: What is short.
        value: The last value, as it is shown.
        figures: PNG images.
        value_bytes: What is told of a value; the rest is counted ("cut").
    """
    text = b"" if value is None else value.encode("utf-8", "replace")
    shown = text[:value_bytes]
    sizes = {"value": None if value is None else len(shown), "figures": [len(f) for f in figures]}
    header = {**told, **sizes, "cut": len(text) - len(shown)}
    left = memoryview(wire.pack(header, b"".join([shown, *figures])))
    while left:
        left = left[os.write(fd, left) :]


def length(data: bytearray, value_bytes: int) -> int | None:
    """Return how long a report is, 0 where it is too long; None while it is unfinished."""
    if len(data) < wire.LENGTHS.size:
        return None
    header, body = wire.LENGTHS.unpack_from(data)
    if header > HEADER_BYTES or body > value_bytes + FIGURES_BYTES:
        return 0
    size: int = wire.LENGTHS.size + header + body
    return size if len(data) >= size else None


@dataclass(frozen=True)
class Report:
    """What a program said of itself, as far as it has the form of that.

    Attributes:
        header: Code and limit; how many bytes have the value and each figure; what was cut of the
            value.
        body: The value and the figures.
    """

    header: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def of(cls, data: bytearray, value_bytes: int, cell: str | None) -> Report | None:
        """Return the report that is all of a pipe's data; None if it isn't one.

        Args:
            data: What came out of the pipe.
            value_bytes: How long the value may be.
            cell: The name of the cell that it has to be of; None where there are no cells.
        """
        if length(data, value_bytes) != len(data):
            return None
        start = wire.LENGTHS.size + wire.LENGTHS.unpack_from(data)[0]
        body = bytes(data[start:])
        try:
            told = json.loads(data[wire.LENGTHS.size : start])
        except (ValueError, RecursionError):
            return None
        if not isinstance(told, dict) or told.get("cell") != cell:
            return None
        value, figures = told.get("value"), told.get("figures")
        sizes = [0 if value is None else value, *(figures if isinstance(figures, list) else ())]
        if not all(_is_size(size) for size in sizes) or sum(sizes) != len(body):
            return None
        code, limit, cut = told.get("code"), told.get("limit"), told.get("cut")
        header = {
            "code": code if _is_size(code) and code < 256 else 0,
            "limit": limit if limit in _LIMITS else None,
            "value": value,
            "cut": cut if _is_size(cut) else 0,
            "figures": sizes[1:],
        }
        return cls(header, body)


def _is_size(told: Any) -> TypeGuard[int]:
    return type(told) is int and told >= 0
