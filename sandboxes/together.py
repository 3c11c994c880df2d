"""`Together`: boxes whose processes have one limit of memory together, and reach it together.

The kernel then ends a process of the box. If that is a program, its result names the limit; if it
is what the box can't do without, which a program can see to, the box begins again without its files
and the result is the same: it is the program's doing, and nobody else is to blame for it.
"""

import signal
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agentgym.errors import InfraError
from agentgym.sandbox import ExecResult, Limit
from agentgym.sandboxes.kept import MIB, Kept

_OWN_MB = 64


def together_bytes(memory_mb: int, disk_mb: int) -> int:
    """Return what a box's processes, its files in memory and what runs them may take together.

    Args:
        memory_mb: MiB for programs.
        disk_mb: MiB for files.
    """
    return (memory_mb + disk_mb + _OWN_MB) * MIB


class OutOfMemoryError(InfraError):
    """The box has died because its processes took more memory together than it has."""


class Together(Kept):
    """A box whose memory is limited as a whole."""

    @abstractmethod
    def _start(self) -> None:
        """Make the box, or make it anew."""

    @abstractmethod
    def _count(self) -> None:
        """Take note that a program starts: only what is killed from now on is its doing."""

    @abstractmethod
    def _explains(self, exit_code: int) -> bool:
        """Whether a program ended with this because a process was killed for want of memory."""

    def _exec(
        self, header: dict[str, Any], body: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        self._check_owner()
        with self._lock:
            self._count()
            began = time.monotonic()
            try:
                result = super()._exec(header, body, seconds, files_out)
            except OutOfMemoryError:
                self._start()
                return ExecResult(
                    stdout="",
                    stderr="the sandbox ran out of memory and begins again without its files\n",
                    exit_code=-signal.SIGKILL,
                    seconds=time.monotonic() - began,
                    limit=Limit.MEMORY,
                    isolation=self.isolation,
                    state_lost=self.spec.stateful,
                )
            if result.exit_code and result.limit is None and self._explains(result.exit_code):
                return replace(result, limit=Limit.MEMORY)
            return result
