"""What tables of facts share: finding what words stand for, and an order that mixes."""

import hashlib
import tomllib
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from agentgym.envs.dialogue.questions import core
from agentgym.errors import DataError

YES, NO = "Yes.", "No."


def read_table(package: str, name: str) -> dict[str, Any]:
    """Return a TOML file of a package."""
    return tomllib.loads((files(package) / name).read_text("utf-8"))


def index(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return what words stand for, by their core.

    Args:
        pairs: (words, what they stand for).

    Raises:
        DataError: If words stand for two things.
    """
    found: dict[str, str] = {}
    for words, meaning in pairs:
        other = found.setdefault(core(words), meaning)
        if other != meaning:
            raise DataError(f"{words!r} stands for {other!r} and for {meaning!r}")
    return found


def mixed(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names in an order that mixes what stands together, the same one every time."""
    return tuple(sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest()))
