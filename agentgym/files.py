"""Files that are whole or not there: written beside their place, synced, then renamed into it.

Also JSON that every reader takes: `strict_json` writes null for what JSON has no number for, and a
replacement character for half of a surrogate pair.
"""

import json
import math
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

from agentgym.errors import DataError


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Give a path to write to; it takes the place of `path` when the block ends well.

    A crash leaves what was there before. Missing folders are made.

    Raises:
        DataError: If the place can't be written to.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        _sync(draft)
        draft.replace(path)
        _sync(path.parent)
    except OSError as fault:
        raise DataError(f"{path} can't be written: {fault.strerror or fault}") from fault
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a small file so that a reader finds the old content or the new, and never a part.

    Raises:
        DataError: If it can't be written.
    """
    with replacing(path) as draft:
        draft.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)


def strict_json(value: object) -> str:
    """Return JSON on one line that any parser reads; see the module.

    Raises:
        TypeError: If something is no JSON value.
    """
    return json.dumps(_strict(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _strict(value: object) -> object:
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return {_strict(key): _strict(item) for key, item in pairs}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in cast("list[object]", value)]
    return value


def plain_text(text: str) -> str:
    """Return text that UTF-8 can carry: pairs of surrogates joined, single ones replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
