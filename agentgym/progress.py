"""`Progress`: how far long work is, as a bar on a terminal and as plain lines elsewhere.

`Progress` takes how much is done and the figures that matter; `EpisodeProgress` takes trajectories
and works the figures out: episodes and tokens per second, success, and what failed.
"""

import sys
import time
from collections.abc import Mapping
from enum import StrEnum
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from agentgym.stop_reason import StopReason
from agentgym.trajectory import Trajectory


class Display(StrEnum):
    """How progress is shown."""

    BAR = "bar"
    """A bar that redraws itself; for a terminal."""
    LINES = "lines"
    """A line every few seconds; for logs."""
    OFF = "off"


class Progress:
    """How far long work is. Use as a context manager, and call it with what is done.

    Args:
        total: How much there is to do.
        label: What is being done.
        display: How it is shown; None for a bar on a terminal and lines elsewhere.
        every: Seconds between lines.
        stream: Where it is shown.
    """

    def __init__(
        self,
        total: int,
        label: str,
        *,
        display: Display | None = None,
        every: float = 10.0,
        stream: TextIO | None = None,
    ) -> None:
        self.total, self.label = total, label
        self._stream = stream or sys.stderr
        self._every = every
        if display is None:
            display = Display.BAR if self._stream.isatty() else Display.LINES
        self.display = display
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._shown_at = -float("inf")

    def __enter__(self) -> Self:
        if self.display is Display.BAR:
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}"),
                console=Console(file=self._stream),
            )
            self._task = self._bar.add_task(self.label, total=self.total, figures="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, figures: Mapping[str, float]) -> None:
        """Show how much is done.

        Args:
            done: Out of `total`.
            figures: What to show beside it, by name.
        """
        if self.display is Display.OFF:
            return
        now = time.monotonic()
        pause = 0.1 if self.display is Display.BAR else self._every
        if now - self._shown_at < pause and done < self.total:
            return
        self._shown_at = now
        text = "  ".join(f"{name} {_short(value)}" for name, value in figures.items())
        if self._bar is not None:
            self._bar.update(self._task, completed=done, figures=text)
        else:
            print(f"{self.label} {done}/{self.total}  {text}", file=self._stream, flush=True)


class EpisodeProgress:
    """Progress of episodes. Use as a context manager, and call it with each that ended.

    Args:
        total: How many episodes there are to run.
        label: What they are for.
        display: How it is shown; None for a bar on a terminal and lines elsewhere.
        every: Seconds between lines.
        stream: Where it is shown.
    """

    def __init__(
        self,
        total: int,
        label: str = "episodes",
        *,
        display: Display | None = None,
        every: float = 10.0,
        stream: TextIO | None = None,
    ) -> None:
        self._progress = Progress(total, label, display=display, every=every, stream=stream)
        self._began = time.monotonic()
        self._done = self._tokens = self._turns = self._judged = self._successes = 0
        self._faults = {reason: 0 for reason in StopReason if not reason.trainable}

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._progress.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._progress.__exit__(kind, fault, at)

    def __call__(self, trajectory: Trajectory) -> None:
        """Count an episode that ended."""
        self._done += 1
        self._tokens += trajectory.sampled_tokens
        self._turns += len(trajectory.turns)
        if trajectory.stop_reason.trainable:
            self._judged += 1
            self._successes += trajectory.success
        else:
            self._faults[trajectory.stop_reason] += 1
        self._progress(self._done, self.figures)

    @property
    def figures(self) -> dict[str, float]:
        """Rates and success so far; of faults only those that occurred."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = (
            {"tokens/s": self._tokens / seconds}
            if self._tokens
            else {"turns/s": self._turns / seconds}
        )
        return {
            "success": self._successes / max(self._judged, 1),
            "episodes/s": self._done / seconds,
            **rate,
            **{reason: count for reason, count in self._faults.items() if count},
        }


def _short(value: float) -> str:
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}"
