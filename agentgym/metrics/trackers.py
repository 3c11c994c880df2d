"""Where metrics go besides `metrics.jsonl`: TensorBoard, wandb, trackio; imported when asked for.

Each is used as its documentation says and no further. A resumed run goes on under the same id, so
that its curves continue.
"""

import os
import time
from collections.abc import Mapping
from enum import StrEnum
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

from agentgym.config import read_yaml
from agentgym.errors import MissingDependencyError
from agentgym.run_dir import RunDir

PROJECT = "agentgym"


class TrackerKind(StrEnum):
    """Which tracker."""

    TENSORBOARD = "tensorboard"
    """Event files under the run's `tensorboard/`."""
    WANDB = "wandb"
    """Weights & Biases; its own environment variables say where and whether online."""
    TRACKIO = "trackio"
    """Trackio's local database; `trackio show` opens it."""


class Tracker(Protocol):
    """Takes figures; `log` is called with finite values only."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take the figures of a step."""
        ...

    def close(self) -> None:
        """Write out what is pending."""
        ...


def open_tracker(
    kind: TrackerKind | str, run: RunDir, *, resume_step: int | None = None
) -> Tracker:
    """Start a tracker for a run, named like its directory.

    Args:
        kind: Which one.
        run: The run.
        resume_step: The step after which the run goes on; None for a new run.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    match TrackerKind(kind):
        case TrackerKind.TENSORBOARD:
            return TensorBoard(run.path / "tensorboard", resume_step=resume_step)
        case TrackerKind.WANDB:
            return Wandb(run)
        case TrackerKind.TRACKIO:
            return Trackio(run)


class TensorBoard:
    """TensorBoard event files, written without torch.

    Args:
        folder: Where they go.
        resume_step: Makes TensorBoard forget what an earlier file has after this step.

    Raises:
        MissingDependencyError: If tensorboard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str], *, resume_step: int | None = None) -> None:
        self._event = _load("tensorboard.compat.proto.event_pb2")
        self._summary = _load("tensorboard.compat.proto.summary_pb2")
        writing = _load("tensorboard.summary.writer.event_file_writer")
        self._writer: Any = writing.EventFileWriter(os.fspath(folder))
        if resume_step is not None:
            start = self._event.SessionLog(status=self._event.SessionLog.START)
            self._write(step=resume_step + 1, session_log=start)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write the figures as scalars."""
        scalars = [
            self._summary.Summary.Value(tag=name, simple_value=value)
            for name, value in values.items()
        ]
        self._write(step=step, summary=self._summary.Summary(value=scalars))

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()

    def _write(self, **what: Any) -> None:
        self._writer.add_event(self._event.Event(wall_time=time.time(), **what))


class Wandb:
    """A Weights & Biases run.

    Args:
        run: The run; its id is the wandb run's.

    Raises:
        MissingDependencyError: If wandb is not installed.
    """

    def __init__(self, run: RunDir) -> None:
        self._run: Any = _load("wandb").init(
            project=PROJECT,
            id=run.info.id,
            name=run.path.resolve().name,
            dir=os.fspath(run.path),
            config=_config(run),
            resume="allow",
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log the figures."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Finish the wandb run."""
        self._run.finish()


class Trackio:
    """A trackio run.

    Args:
        run: The run; its name and id make up the trackio run's.

    Raises:
        MissingDependencyError: If trackio is not installed.
    """

    def __init__(self, run: RunDir) -> None:
        # Trackio resumes by name, and two directories may have the same.
        name = f"{run.path.resolve().name}-{run.info.id[:8]}"
        self._run: Any = _load("trackio").init(
            project=PROJECT, name=name, config=_config(run), resume="allow"
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log the figures."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Finish the trackio run."""
        self._run.finish()


def _config(run: RunDir) -> dict[str, Any]:
    return read_yaml(run.config_file) if run.config_file.exists() else {}


def _load(module: str) -> ModuleType:
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as fault:
        raise MissingDependencyError(package, package) from fault
