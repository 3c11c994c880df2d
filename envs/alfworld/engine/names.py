"""The names that players see: `Apple_bar__plus_01…` becomes `apple 2`.

The numbers are those that ALFWorld gives without shuffling: among the ids of a kind, sorted, the
first gets the highest number. An id without `_bar_` has no number, and keeps the space where it
would stand.
"""

from collections import Counter
from collections.abc import Iterable

_SIGNS = (("_bar_", "|"), ("_minus_", "-"), ("_plus_", "+"), ("_dot_", "."), ("_comma_", ","))


def demangle(ids: Iterable[str]) -> dict[str, str]:
    """Return id → name.

    Args:
        ids: The objects that occur in the game's initial facts; the others are never counted.
    """
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for id_ in sorted(ids, reverse=True):
        text = id_
        for written, sign in _SIGNS:
            text = text.replace(written, sign)
        kind, bar, _ = text.partition("|")
        if not bar:
            names[id_] = f"{text} "
            continue
        if "basin" in id_:
            kind += "basin"
        counts[kind] += 1
        names[id_] = f"{kind} {counts[kind]}"
    return names
