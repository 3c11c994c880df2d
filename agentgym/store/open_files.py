"""Files held open for reading, the latest few of them.

Opening costs a round trip on a network file system, and a run may have more files than a process
may open.
"""

import os
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from weakref import finalize

from agentgym.errors import StoreError


class OpenFiles:
    """Reads parts of files. May be shared by threads.

    Args:
        most: How many to hold open.
    """

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._open: OrderedDict[Path, int] = OrderedDict()
        self._lock = Lock()
        finalize(self, _close_all, self._open)

    def read(self, path: Path, start: int, size: int) -> bytes:
        """Return up to `size` bytes from `start` on; fewer at the file's end.

        Raises:
            StoreError: If the file can't be read.
        """
        try:
            with self._lock:
                file = self._open.pop(path, None)
                if file is None:
                    if len(self._open) >= self._most:
                        os.close(self._open.popitem(last=False)[1])
                    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                self._open[path] = file
                return os.pread(file, size, start)
        except OSError as fault:
            raise StoreError(f"{path} can't be read: {fault.strerror}") from fault


def _close_all(files: OrderedDict[Path, int]) -> None:
    while files:
        os.close(files.popitem()[1])
