"""`StoreWriter`: one process's end of the store.

`add` takes a finished trajectory and returns once the operating system has it, so `kill -9` loses
at most the episode that was being added. Figures that a trainer computes later (advantages, values,
its own log-probabilities) are added as patches under the trajectory's id; nothing is ever
rewritten. Any number of writers work side by side, each on files of its own.
"""

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agentgym.env import Image
from agentgym.errors import StoreError, UsageError
from agentgym.store.codec import Array, Body, encode_body, encode_trajectory
from agentgym.store.frame import encode_frame
from agentgym.store.images import encode_image, image_hash
from agentgym.store.segment import PACK, SEGMENT, SegmentWriter, writer_name
from agentgym.store.summary import Summary
from agentgym.trajectory import Trajectory

FOLDER = "trajectories"
"""Where in a run's directory the store lies."""


@dataclass(frozen=True, slots=True)
class TurnPatch:
    """What is known about a turn after the fact; what is None or missing stays as it was.

    Attributes:
        turn: Index of the turn.
        value: A critic's estimate at the turn's start.
        advantage: The turn's advantage.
        arrays: Per-token figures by name, laid over those that the turn has.
    """

    turn: int
    value: float | None = None
    advantage: float | None = None
    arrays: Mapping[str, Array] = field(default_factory=dict[str, Array])


class StoreWriter:
    """Adds trajectories to a run. May be shared by threads; a forked child gets files of its own.

    Args:
        run_dir: The run's directory; made if missing.
        level: zstd's level.
        segment_bytes: A file that has grown past this is sealed, and the next one begun.
        sync_seconds: How much of the latest work a power cut may cost at most while trajectories
            keep arriving. (A killed process costs nothing of what `add` returned from.)
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        *,
        level: int = 3,
        segment_bytes: int = 256 << 20,
        sync_seconds: float = 10.0,
    ) -> None:
        self.folder = Path(run_dir) / FOLDER
        self._level = level
        self._segment_bytes = segment_bytes
        self._sync_seconds = sync_seconds
        self._lock = threading.Lock()
        self._closed = False
        self._patched = 0.0
        self._begin()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise StoreError(f"{self.folder} can't be made: {fault.strerror}") from fault

    def add(self, trajectory: Trajectory) -> Summary:
        """Append a trajectory.

        Returns:
            What lists show of it.

        Raises:
            StoreError: If it can't be written or synced, or a field can't be stored.
            UsageError: If the writer is closed.
        """
        summary = Summary.of(trajectory, time.time())
        images = [*(turn.image for turn in trajectory.turns), trajectory.final_image]
        hashes = [None if image is None else image_hash(image) for image in images]
        body = encode_trajectory(trajectory, hashes, self._level)
        frame = encode_frame({"kind": "trajectory", **summary.to_header()}, body)
        with self._lock:
            self._check_process()
            # Images first: a trajectory that can be read has all of its own.
            for digest, image in zip(hashes, images, strict=True):
                if digest is not None and image is not None and digest not in self._known_images:
                    self._add_image(digest, image)
            self._append(frame)
        return summary

    def patch(
        self,
        trajectory_id: str,
        turns: Sequence[TurnPatch] = (),
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Add figures to a trajectory that is, or will be, in the store; later ones win.

        What is later is told by the clock, among several machines by theirs.

        Args:
            trajectory_id: Its id; it may be another writer's.
            turns: What to lay over the turns.
            meta: What to lay over `meta`; JSON values.

        Raises:
            StoreError: If it can't be written or synced, or a figure can't be stored.
            UsageError: If the writer is closed.
        """
        document: dict[str, Any] = {
            "meta": dict(meta or {}),
            "turn": [patch.turn for patch in turns],
            "value": [patch.value for patch in turns],
            "advantage": [patch.advantage for patch in turns],
        }
        names = dict.fromkeys(name for patch in turns for name in patch.arrays)
        columns = {name: [patch.arrays.get(name) for patch in turns] for name in names}
        body = encode_body(Body(document, columns), self._level)
        with self._lock:
            self._check_process()
            # A clock may be set back, and a writer's own patches must still come in order.
            self._patched = max(self._patched, time.time())
            header = {"kind": "patch", "id": trajectory_id, "written": self._patched}
            self._append(encode_frame(header, body))

    def rewind(self, step: int) -> None:
        """Take back what was collected after a training step: the run resumes from there.

        Trajectories written before now whose `meta["step"]` is greater are no longer shown.

        Raises:
            StoreError: If it can't be written or synced.
            UsageError: If the writer is closed.
        """
        header = {"kind": "rewind", "step": step, "written": time.time()}
        with self._lock:
            self._check_process()
            self._append(encode_frame(header))

    def close(self) -> None:
        """Seal the files; may be called more than once.

        Raises:
            StoreError: If one can't be written or synced. Both are closed all the same.
        """
        with self._lock:
            closed, self._closed = self._closed, True
            if closed or os.getpid() != self._process:
                return
            segment, self._segment = self._segment, None
            try:
                self._sync_pack(seal=True)
            finally:
                if segment is not None:
                    segment.seal()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._name = writer_name()
        self._number = 0
        self._segment: SegmentWriter | None = None
        self._pack: SegmentWriter | None = None
        self._known_images: set[str] = set()
        self._synced = time.monotonic()

    def _check_process(self) -> None:
        if self._closed:
            raise UsageError(f"This writer of {self.folder} is closed; make another one")
        if os.getpid() != self._process:
            # Two processes on one file would break the rule that keeps the store free of locks.
            for inherited in (self._segment, self._pack):
                if inherited is not None:
                    inherited.abandon()
            self._begin()

    # A file is held apart while something is asked of it: one that failed is not written to again.

    def _append(self, frame: bytes) -> None:
        segment = self._segment or self._open(SEGMENT)
        self._segment = None
        segment.append(frame)
        self._segment = segment
        full = segment.size >= self._segment_bytes
        if not full and time.monotonic() - self._synced < self._sync_seconds:
            return
        # Images first, here too. A pack that fails leaves the segment in use: it is in order.
        self._sync_pack()
        self._segment = None
        if full:
            segment.seal()
        else:
            segment.sync()
            self._segment = segment
            self._synced = time.monotonic()

    def _add_image(self, digest: str, image: Image) -> None:
        frame = encode_image(digest, image, self._level)
        pack = self._pack or self._open(PACK)
        self._pack = None
        pack.append(frame)
        self._pack = pack
        self._known_images.add(digest)
        if pack.size >= self._segment_bytes:
            self._sync_pack(seal=True)

    def _sync_pack(self, *, seal: bool = False) -> None:
        pack, self._pack = self._pack, None
        if pack is None:
            return
        try:
            if seal:
                pack.seal()
            else:
                pack.sync()
                self._pack = pack
        except StoreError:
            # Later trajectories must not lean on images that may not have reached the disk.
            self._known_images.clear()
            raise

    def _open(self, suffix: str) -> SegmentWriter:
        path = self.folder / f"{self._name}-{self._number:04d}{suffix}"
        self._number += 1
        return SegmentWriter(path)
