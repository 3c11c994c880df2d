"""One append-only file of frames: written by one process, scanned by any number of readers.

A frame is appended with a single `write`, so it is in the page cache, and safe from `kill -9`, when
`append` returns; `sync` makes it safe from a power cut as well. A reader scans headers from where
it last stopped. Where a frame is damaged it looks for the next whole one, so that a bad sector
costs the frames that it hit and no other.
"""

import os
import re
import socket
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentgym.errors import StoreError
from agentgym.store.frame import (
    MAGIC,
    PREFIX_BYTES,
    Prefix,
    decode_header,
    decode_prefix,
    encode_frame,
)
from agentgym.store.open_files import OpenFiles

SEGMENT = ".agl"
PACK = ".pack"

# One read of this size takes in the prefix and nearly every header.
_FIRST_READ = 1024
_SEARCH_BYTES = 1 << 20
# No file has this number, so whatever is asked of it fails.
_CLOSED = -1


@dataclass(frozen=True, slots=True)
class Located:
    """A frame's header, and where its body lies.

    Attributes:
        header: The header.
        path: The file.
        files: What reads it.
        start: Where the frame begins, in bytes.
        prefix: Its lengths and checksums.
    """

    header: dict[str, Any]
    path: Path
    files: OpenFiles
    start: int
    prefix: Prefix

    def body(self) -> bytes:
        """Read the body.

        Raises:
            StoreError: If it is not what was written, or the file is gone.
        """
        first = self.start + PREFIX_BYTES + self.prefix.header_bytes
        data = self.files.read(self.path, first, self.prefix.body_bytes)
        if len(data) != self.prefix.body_bytes or zlib.crc32(data) != self.prefix.body_crc:
            raise StoreError(
                f"{self.path} is damaged: the body of the frame at byte {self.start} does not fit "
                "its checksum"
            )
        return data


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that hold no readable frame.

    Attributes:
        path: The file.
        start: The first of them.
        end: The one after the last of them.
    """

    path: Path
    start: int
    end: int


class SegmentReader:
    """Reads a file's frames, and more of them after each `scan` while a writer goes on.

    Args:
        path: The file.
        files: What reads it.

    Attributes:
        path: The file.
        damage: What was skipped.
        torn: Bytes behind the last whole frame: one that is being written, or was when its writer
            died.
    """

    def __init__(self, path: Path, files: OpenFiles) -> None:
        self.path = path
        self.damage: list[Damage] = []
        self.torn = 0
        self._files = files
        self._next = 0

    def scan(self) -> Iterator[Located]:
        """Yield the frames that were added since the last scan.

        Raises:
            StoreError: If the file can't be read or is in a newer format.
        """
        try:
            size = self.path.stat().st_size
        except OSError as fault:
            raise StoreError(f"{self.path} can't be read: {fault.strerror}") from fault
        while self._next < size:
            start = self._next
            found = self._frame(start) or self._search(start + 1)
            if found is None:
                break
            end = found.start + found.prefix.frame_bytes
            if end > size:
                break
            if found.start > start:
                self.damage.append(Damage(self.path, start, found.start))
            self._next = end
            yield found
        self.torn = size - self._next

    def _frame(self, start: int) -> Located | None:
        data = self._files.read(self.path, start, _FIRST_READ)
        prefix = decode_prefix(data)
        if prefix is None:
            return None
        head_end = PREFIX_BYTES + prefix.header_bytes
        if head_end > len(data):
            data += self._files.read(self.path, start + len(data), head_end - len(data))
        if head_end > len(data):
            return None
        header = decode_header(prefix, data[PREFIX_BYTES:head_end], str(self.path))
        return None if header is None else Located(header, self.path, self._files, start, prefix)

    def _search(self, start: int) -> Located | None:
        while True:
            data = self._files.read(self.path, start, _SEARCH_BYTES)
            if len(data) < PREFIX_BYTES:
                return None
            at = data.find(MAGIC)
            while at >= 0:
                found = self._frame(start + at)
                if found is not None:
                    return found
                at = data.find(MAGIC, at + 1)
            start += len(data) - len(MAGIC) + 1


class SegmentWriter:
    """Appends frames to a new file.

    Args:
        path: A file that does not exist yet.

    Attributes:
        path: The file.
        size: Its length in bytes.
        frames: How many frames it has.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.frames = 0
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        try:
            self._file = os.open(path, flags, 0o644)
        except OSError as fault:
            raise StoreError(f"{path} can't be made: {fault.strerror}") from fault

    def append(self, frame: bytes) -> None:
        """Append a frame; it survives the process once this returns.

        Raises:
            StoreError: If it could not be written. The file is closed then: a frame behind a part
                of one might not be found again.
        """
        rest = memoryview(frame)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as fault:
            with suppress(OSError):
                os.ftruncate(self._file, self.size)
                # Nobody syncs the earlier frames any more, and they may be all there is of a run.
                os.fsync(self._file)
            self.abandon()
            raise StoreError(
                f"{self.path} can't be written: {fault.strerror}; free space or mend the disk, "
                "then add what failed again (it goes to a new file)"
            ) from fault
        self.size += len(frame)
        self.frames += 1

    def sync(self) -> None:
        """Wait until what was appended is on the disk.

        Raises:
            StoreError: If it could not be brought there. The file is closed then: a system that
                failed to write a page may call it clean, and the next sync would find nothing
                wrong.
        """
        try:
            os.fsync(self._file)
        except OSError as fault:
            self.abandon()
            raise StoreError(
                f"{self.path} can't be synced: {fault.strerror}; its latest trajectories may not "
                "outlive a power cut. Free space or mend the disk, then add them again (they go to "
                "a new file)"
            ) from fault

    def seal(self) -> None:
        """Write the frame that says the file is complete, and close it.

        Raises:
            StoreError: If that fails. The file is closed all the same.
        """
        self.append(encode_frame({"kind": "seal", "frames": self.frames}))
        self.sync()
        self.abandon()

    def abandon(self) -> None:
        """Close the file as it is; may be called more than once."""
        # The number is forgotten first: once closed it may soon be another file's.
        file, self._file = self._file, _CLOSED
        if file != _CLOSED:
            # What closing could report was either reported by `sync` or is given up here.
            with suppress(OSError):
                os.close(file)


def writer_name() -> str:
    """Return a name that no other writer has; names sort by the time that their writers began."""
    host = re.sub(r"[^A-Za-z0-9]+", "", socket.gethostname())[:16] or "host"
    return f"{time.time_ns() // 1000:016d}-{host}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
