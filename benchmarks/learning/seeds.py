"""What the learning benchmarks share: figures over seeds, and how they are shown."""

import statistics
from collections.abc import Sequence

Spread = tuple[float, float]
"""Mean and standard deviation over the seeds."""


def spread(values: Sequence[float]) -> Spread:
    """Return mean and standard deviation; 0 where there is one value."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def shown(figures: Spread) -> str:
    """Write fractions as points."""
    return f"{100 * figures[0]:.1f} ± {100 * figures[1]:.1f}"


def quiet(line: str) -> None:
    """Say nothing: the runs go side by side."""
    del line
