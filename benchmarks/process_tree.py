"""What the processes below some take: memory, so that what several share counts once, and time."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def below(roots: Iterable[int]) -> Iterator[int]:
    """Give the processes that some have started, and those that these have."""
    waiting = list(roots)
    while waiting:
        for listed in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            try:
                children = [int(pid) for pid in listed.read_text().split()]
            except OSError:  # it has ended
                continue
            yield from children
            waiting.extend(children)


def mib_below(roots: Iterable[int]) -> float:
    """Return the MiB (PSS) of the processes below some, which are not counted themselves.

    Of what processes share each has its part. Who isn't root sees nothing of other users'.
    """
    kib = 0
    for pid in below(roots):
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            kib += int(rollup.split("Pss:")[1].split()[0])
        except (OSError, IndexError):  # it has ended
            continue
    return kib / 1024


def cpu_seconds(roots: Iterable[int]) -> float:
    """Return the CPU time that some processes and those below them have taken so far."""
    roots = list(roots)
    ticks = 0
    for pid in (*roots, *below(roots)):
        try:
            told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        ticks += int(told[11]) + int(told[12])
    return ticks / _TICKS
