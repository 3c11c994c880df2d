"""The memory of processes, counted so that what several share counts once."""

from collections.abc import Iterable
from pathlib import Path


def mib_below(roots: Iterable[int]) -> float:
    """Return the MiB (PSS) of the processes below some, which are not counted themselves.

    Of what processes share each has its part. Who isn't root sees nothing of other users'.
    """
    excepted = set(roots)
    kib, waiting = 0, list(excepted)
    while waiting:
        pid = waiting.pop()
        try:
            if pid not in excepted:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                kib += int(rollup.split("Pss:")[1].split()[0])
            for listed in Path(f"/proc/{pid}/task").glob("*/children"):
                waiting.extend(map(int, listed.read_text().split()))
        except (OSError, IndexError):  # it has ended
            continue
    return kib / 1024
