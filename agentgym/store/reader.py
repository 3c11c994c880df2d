"""`Store`: the reading end. It never writes, so it may watch a run that is going on.

Opening reads every frame's header and no body: lists, filters and groups come from these. A body is
read when its trajectory is asked for, checked against its checksum, and its patches are laid over
it in the order in which they were written. `refresh` takes in what was added since.
"""

import logging
import os
from bisect import insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from agentgym.errors import DataError, StoreError
from agentgym.store.codec import decode_body, decode_trajectory
from agentgym.store.images import ImagePacks
from agentgym.store.open_files import OpenFiles
from agentgym.store.segment import SEGMENT, Damage, Located, SegmentReader
from agentgym.store.summary import Summary
from agentgym.store.table import trajectory_table, turn_table
from agentgym.store.writer import FOLDER, StoreWriter
from agentgym.trajectory import Trajectory

if TYPE_CHECKING:
    import pandas

_log = logging.getLogger(__name__)


class Rows(StrEnum):
    """What a row of a table is."""

    TRAJECTORY = "trajectory"
    """One episode: its summary and its environment's metrics. Quick."""
    TURN = "turn"
    """One turn, with its texts and arrays."""


@dataclass(frozen=True, slots=True)
class _Entry:
    summary: Summary
    frame: Located


class Store:
    """The trajectories of a run, by id; in the order of their writers' starts, then of adding.

    Args:
        run_dir: The run's directory.

    Raises:
        DataError: If it holds no trajectories folder.
        StoreError: If a newer agentgym wrote it.
    """

    def __init__(self, run_dir: str | os.PathLike[str]) -> None:
        self.folder = Path(run_dir) / FOLDER
        if not self.folder.is_dir():
            raise DataError(
                f"{run_dir} holds no {FOLDER}/ folder; give the directory of a run that "
                "`agentgym eval`, `collect` or `train` wrote"
            )
        self._files = OpenFiles()
        self._segments: dict[str, SegmentReader] = {}
        self._entries: dict[str, _Entry] = {}
        self._patches: dict[str, list[Located]] = {}
        self._rewinds: list[dict[str, Any]] = []
        self.images = ImagePacks(self.folder, self._files)
        self.refresh()

    @classmethod
    def open(cls, run_dir: str | os.PathLike[str]) -> "Store":
        """Open a run's store for reading.

        Raises:
            DataError: If it holds no trajectories folder.
        StoreError: If a newer agentgym wrote it.
        """
        return cls(run_dir)

    @staticmethod
    def writer(
        run_dir: str | os.PathLike[str],
        *,
        level: int = 3,
        segment_bytes: int = 256 << 20,
        sync_seconds: float = 10.0,
    ) -> StoreWriter:
        """Begin writing to a run's store; see `StoreWriter`."""
        return StoreWriter(
            run_dir, level=level, segment_bytes=segment_bytes, sync_seconds=sync_seconds
        )

    def refresh(self) -> list[Summary]:
        """Take in what was added since; return the new trajectories."""
        new: dict[str, Summary] = {}
        for path in sorted(self.folder.glob(f"*{SEGMENT}")):
            segment = self._segments.setdefault(path.name, SegmentReader(path, self._files))
            for frame in segment.scan():
                match frame.header["kind"]:
                    case "trajectory":
                        summary = Summary.from_header(frame.header)
                        if not any(_taken_back(summary, rewind) for rewind in self._rewinds):
                            self._entries[summary.id] = _Entry(summary, frame)
                            new[summary.id] = summary
                    case "patch":
                        patches = self._patches.setdefault(frame.header["id"], [])
                        insort(patches, frame, key=_age)
                    case "rewind":
                        self._rewinds.append(frame.header)
                        for summary in self.summaries():
                            if _taken_back(summary, frame.header):
                                del self._entries[summary.id]
                                new.pop(summary.id, None)
                    case _:  # a seal, or a kind of a newer minor version
                        pass
        return list(new.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, trajectory_id: object) -> bool:
        return trajectory_id in self._entries

    def __iter__(self) -> Iterator[Trajectory]:
        return self.trajectories()

    def __getitem__(self, trajectory_id: str) -> Trajectory:
        return self.get(trajectory_id)

    def get(self, trajectory_id: str, *, images: bool = True) -> Trajectory:
        """Read one trajectory, with its patches.

        Args:
            trajectory_id: Its id.
            images: Whether to read its images.

        Raises:
            StoreError: If there is none of this id, or its bytes are damaged.
        """
        entry = self._entries.get(trajectory_id)
        if entry is None:
            raise StoreError(f"{self.folder} holds no trajectory {trajectory_id!r}")
        trajectory = decode_trajectory(entry.frame.body(), self.images if images else None)
        for patch in self._patches.get(trajectory_id, ()):
            _lay_over(trajectory, patch)
        return trajectory

    def summary(self, trajectory_id: str) -> Summary:
        """Return the summary of a trajectory.

        Raises:
            StoreError: If there is none of this id.
        """
        entry = self._entries.get(trajectory_id)
        if entry is None:
            raise StoreError(f"{self.folder} holds no trajectory {trajectory_id!r}")
        return entry.summary

    def summaries(self, where: Callable[[Summary], bool] | None = None) -> list[Summary]:
        """Return the summaries for which `where` holds; no body is read."""
        found = [entry.summary for entry in self._entries.values()]
        return found if where is None else [summary for summary in found if where(summary)]

    def trajectories(
        self, where: Callable[[Summary], bool] | None = None, *, images: bool = True
    ) -> Iterator[Trajectory]:
        """Yield the trajectories for which `where` holds; damaged ones are logged and left out.

        Args:
            where: A condition on summaries, such as `parse_conditions` returns.
            images: Whether to read the images.
        """
        for summary in self.summaries(where):
            try:
                yield self.get(summary.id, images=images)
            except StoreError as fault:
                _log.warning("Trajectory %s is left out: %s", summary.id, fault)

    def groups(self, where: Callable[[Summary], bool] | None = None) -> dict[str, list[Summary]]:
        """Return the summaries by group; those without a group are left out."""
        groups: dict[str, list[Summary]] = {}
        for summary in self.summaries(where):
            if summary.group_id:
                groups.setdefault(summary.group_id, []).append(summary)
        return groups

    @property
    def damage(self) -> list[Damage]:
        """Stretches of the files that hold no readable frame."""
        segments = [damage for part in self._segments.values() for damage in part.damage]
        return segments + self.images.damage

    @property
    def torn_bytes(self) -> int:
        """Bytes behind the last whole frames: episodes being written, or lost to a kill."""
        return sum(segment.torn for segment in self._segments.values())

    def to_pandas(
        self,
        rows: Rows | str = Rows.TRAJECTORY,
        where: Callable[[Summary], bool] | None = None,
    ) -> "pandas.DataFrame":
        """Return a table.

        Args:
            rows: What a row is: a trajectory or a turn.
            where: A condition on summaries.

        Raises:
            MissingDependencyError: If pandas is not installed.
        """
        if Rows(rows) is Rows.TRAJECTORY:
            return trajectory_table(self.summaries(where))
        return turn_table(self.trajectories(where, images=False))


def _taken_back(summary: Summary, rewind: dict[str, Any]) -> bool:
    late = summary.step is not None and summary.step > rewind["step"]
    return late and summary.written < rewind["written"]


def _age(patch: Located) -> tuple[float, str, int]:
    # Files are scanned one by one, so the order of scanning says nothing about two writers. Where
    # their clocks agree to the tick, all readers should still see the same.
    return patch.header["written"], patch.path.name, patch.start


def _lay_over(trajectory: Trajectory, patch: Located) -> None:
    body = decode_body(patch.body())
    trajectory.meta |= cast("dict[str, Any]", body.document["meta"])
    for i, k in enumerate(cast("list[int]", body.document["turn"])):
        if k >= len(trajectory.turns):
            raise StoreError(
                f"{patch.path} patches turn {k} of trajectory {trajectory.id}, which has "
                f"{len(trajectory.turns)} turns"
            )
        turn = trajectory.turns[k]
        for name in ("value", "advantage"):
            if body.document[name][i] is not None:
                setattr(turn, name, body.document[name][i])
        for name, column in body.columns.items():
            if column[i] is not None:
                turn.arrays[name] = column[i]
