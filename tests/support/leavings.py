"""What a process has left on its machine: processes, descriptors, mounts, files, cgroups."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_CGROUPS = Path("/sys/fs/cgroup")


def descendants(pid: int) -> set[int]:
    """Return the processes below one, those included that are gone but for their number."""
    found = set[int]()
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        for listed in Path("/proc", str(parent), "task").glob("*/children"):
            try:
                children = set(map(int, listed.read_text().split())) - found
            except (FileNotFoundError, ProcessLookupError):
                continue
            found |= children
            waiting.extend(children)
    return found


def descriptors() -> int:
    """Return how many this process has open."""
    return len(os.listdir("/proc/self/fd"))


def mounts(part: str = "") -> list[str]:
    """Return where something is mounted, as this process sees it, by lines that hold a text."""
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if part in line]


def cgroups(part: str) -> list[Path]:
    """Return the cgroups, of every hierarchy, whose names hold a text."""
    return [path for path in _CGROUPS.rglob(f"*{part}*") if path.is_dir()]


def settled(look: Callable[[], T], wanted: T, seconds: float = 10.0) -> T:
    """Look until it is as wanted, or time is over; return what was seen last."""
    deadline = time.monotonic() + seconds
    while (seen := look()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return seen
