"""`MetricsLog`: one JSON line per call, written so that a crash costs at most the line at hand.

On resume the lines after the checkpoint's step are cut off, so that the file ends up as if the run
had never stopped. JSON has no NaN: what is not finite is written as null and counted under
`metrics/nonfinite`.
"""

import fcntl
import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsFloat, cast

from agentgym.errors import DataError, UsageError
from agentgym.files import strict_json
from agentgym.metrics.trackers import Tracker

NONFINITE = "metrics/nonfinite"

_log = logging.getLogger(__name__)


class MetricsLog:
    """Writes a run's metrics. One process at a time.

    Args:
        path: The file, as a rule `RunDir.metrics_file`.
        resume_step: Go on after this step: its lines and those before are kept, later ones are cut
            off. Log a step's figures before its checkpoint is written, so that they are there.
            None to begin a file.
        trackers: Where the figures go as well (`open_tracker`); closed together with the log.

    Raises:
        UsageError: If the file has lines and there is no `resume_step`, or another process writes
            to it.
        DataError: If it can't be written, or a line in it can't be read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        resume_step: int | None = None,
        trackers: Sequence[Tracker] = (),
    ) -> None:
        self.path = Path(path)
        self.step: int | None = None
        self._trackers = list(trackers)
        self._closed = False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self.path, flags, 0o644)
        except OSError as fault:
            raise DataError(f"{self.path} can't be written: {fault.strerror}") from fault
        try:
            self._lock()
            self._begin(resume_step)
        except BaseException:
            os.close(self._file)
            raise

    def log(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
        """Write a line.

        Args:
            step: The training step; not before the last one logged. A step may have several lines.
            values: Figures by name; a name's parts are set apart by slashes.

        Raises:
            UsageError: If a step comes before the last one, a value is no number, or the log is
                closed.
            DataError: If the line can't be written.
        """
        if self._closed:
            raise UsageError(f"{self.path} is closed")
        if self.step is not None and step < self.step:
            raise UsageError(f"Metrics of step {step} come after those of step {self.step}")
        numbers = {name: _number(name, value) for name, value in values.items()}
        finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
        if len(finite) < len(numbers):
            numbers[NONFINITE] = finite[NONFINITE] = len(numbers) - len(finite)
        line = (strict_json({"step": step, **numbers}) + "\n").encode()
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as fault:
            raise DataError(f"{self.path} can't be written: {fault.strerror}") from fault
        self.step = step
        for tracker in list(self._trackers):
            try:
                tracker.log(step, finite)
            except Exception:
                # A run of days does not end because a dashboard is down; the file has everything.
                _log.exception("%s failed and is left out from here on", type(tracker).__name__)
                self._trackers.remove(tracker)

    def close(self) -> None:
        """Sync the file and close the trackers; may be called more than once."""
        if self._closed:
            return
        self._closed = True
        os.fsync(self._file)
        os.close(self._file)
        for tracker in self._trackers:
            tracker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Another process writes to {self.path}; end it, or give another directory"
            ) from None
        except OSError:
            # A file system without locks; the check is a courtesy, nothing relies on it.
            _log.debug("%s can't be locked", self.path)

    def _begin(self, resume_step: int | None) -> None:
        if resume_step is None:
            if os.fstat(self._file).st_size:
                raise UsageError(
                    f"{self.path} already has metrics; resume the run, or give another directory"
                )
            return
        kept = 0
        for line in self.path.read_bytes().splitlines(keepends=True):
            row = _row(self.path, line)
            if row is None or row["step"] > resume_step:
                break
            kept += len(line)
            self.step = row["step"]
        os.ftruncate(self._file, kept)
        os.fsync(self._file)


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the lines of a metrics file; a last line that is not whole is left out.

    Raises:
        DataError: If the file can't be read.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as fault:
        raise DataError(f"{path} can't be read: {fault.strerror}") from fault
    rows = [_row(path, line) for line in lines]
    return [row for row in rows if row is not None]


def _row(path: Path, line: bytes) -> dict[str, Any] | None:
    # Only the last line can lack its end, and only because its writer died.
    if not line.endswith(b"\n"):
        return None
    try:
        row = cast("dict[str, Any]", json.loads(line))
        row["step"] = int(row["step"])
    except (ValueError, TypeError, KeyError) as fault:
        raise DataError(f"{path} has a line that is no metrics: {line[:80]!r}") from fault
    return row


def _number(name: str, value: SupportsFloat) -> float:
    if not name or name == "step":
        raise UsageError(f"A metric can't be named {name!r}")
    if isinstance(value, int):
        return int(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(f"Metric {name} must be a number, got {value!r}") from None
