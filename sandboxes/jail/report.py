"""What a program reports of itself: its exit code, a limit, the last value, figures.

A report is its length, the length of a header, the header (JSON), and what may be large as it is.
Whoever reads one has no reason to believe it, and spends no more memory on it than it has bytes,
by a small factor: a few bytes of JSON can be a hundred bytes of objects, so the header is short.
"""

from __future__ import annotations

import base64
import io
import json
import os
import struct
from collections.abc import Sequence
from typing import Any

MOST_BYTES = 16 << 20
"""What is read of a report."""

_HEADER_BYTES = 1 << 16
_LENGTH = struct.Struct("<I")


def tell(
    fd: int, told: dict[str, Any], value: str | None = None, figures: Sequence[bytes] = ()
) -> None:
    """Write a report.

    Args:
        fd: Where it goes.
        told: What is short.
        value: The last value, as it is shown.
        figures: PNG images.
    """
    text = b"" if value is None else value.encode("utf-8", "replace")
    sizes = {"value": None if value is None else len(text), "figures": [len(f) for f in figures]}
    header = json.dumps({**told, **sizes}).encode()
    body = b"".join([_LENGTH.pack(len(header)), header, text, *figures])
    left = memoryview(_LENGTH.pack(len(body)) + body)
    while left:
        left = left[os.write(fd, left) :]


def complete(data: bytearray) -> bool:
    """Whether all of a report is there."""
    return len(data) >= _LENGTH.size and len(data) >= _LENGTH.size + _LENGTH.unpack_from(data)[0]


def read(data: bytearray) -> dict[str, Any]:
    """Return what was told, the value ("value") and the figures in base 64 ("figures").

    It is empty where there is no report at all.
    """
    if not complete(data):
        return {}
    body = bytes(data[_LENGTH.size : _LENGTH.size + _LENGTH.unpack_from(data)[0]])
    try:
        (size,) = _LENGTH.unpack_from(body)
        if size > _HEADER_BYTES:
            return {}
        told = json.loads(body[_LENGTH.size : _LENGTH.size + size])
    except (struct.error, ValueError, RecursionError):
        return {}
    if not isinstance(told, dict):
        return {}
    large = io.BytesIO(body[_LENGTH.size + size :])
    value, figures = told.pop("value", None), told.pop("figures", None)
    if _is_size(value):
        told["value"] = large.read(value).decode("utf-8", "replace")
    sizes = filter(_is_size, figures if isinstance(figures, list) else ())
    told["figures"] = [base64.b64encode(large.read(size)).decode() for size in sizes]
    return told


def _is_size(told: Any) -> bool:
    return isinstance(told, int) and 0 <= told <= MOST_BYTES
