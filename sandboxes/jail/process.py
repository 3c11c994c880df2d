"""A program that runs in a box, as its keeper sees it: fed, listened to, and ended when it is time.

Nothing here needs a namespace or a mount of its own, and nothing that a program writes is trusted.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from agentgym.sandboxes.jail import report

_DRAIN_SECONDS = 1.0
_INTERRUPT_SECONDS = 0.5
_ROUND_SECONDS = 0.0005


@dataclass
class _Captured:
    """What came out of a pipe, up to a limit."""

    limit: int
    data: bytearray = field(default_factory=bytearray)
    dropped: int = 0

    def take(self, fd: int) -> bool:
        """Take what a pipe holds; False at its end."""
        try:
            part = os.read(fd, 1 << 16)
        except BlockingIOError:
            return True
        room = self.limit - len(self.data)
        self.data += part[: max(room, 0)]
        self.dropped += max(len(part) - max(room, 0), 0)
        return bool(part)


@dataclass
class Process:
    """A program, and our ends of its pipes.

    Attributes:
        pid: Its number.
        exited: A descriptor that can be read once it has exited.
        stdin: Our end of what it reads; -1 once that is closed.
        stdout: Our end of what it prints.
        stderr: Of its error stream.
        status: Of what it reports of itself.
    """

    pid: int
    exited: int
    stdin: int
    stdout: int
    stderr: int
    status: int

    def close(self) -> None:
        """Close our ends."""
        for fd in (self.exited, self.stdin, self.stdout, self.stderr, self.status):
            if fd >= 0:
                os.close(fd)

    def follow(
        self, header: dict[str, Any], stdin: bytes, host: int, end_others: Callable[[], None]
    ) -> tuple[dict[str, Any], bytes]:
        """Feed it, collect what it writes, and end it when its time is over.

        A session's cell is over once its status came; anything else when it has exited.

        Args:
            header: The request.
            stdin: What it reads; a session reads more another time.
            host: The connection to whoever waits; if it breaks, this process exits.
            end_others: Ends what the program left running.
        """
        one_cell = header["op"] == "cell"
        outputs = {
            self.stdout: _Captured(header["output_bytes"]),
            self.stderr: _Captured(header["output_bytes"]),
            self.status: _Captured(report.MOST_BYTES),
        }
        poll = select.poll()
        for fd in (*outputs, self.exited, host):
            poll.register(fd, select.POLLIN)
        left = memoryview(stdin)
        if not left and not one_cell:
            os.close(self.stdin)
            self.stdin = -1
        else:
            poll.register(self.stdin, select.POLLOUT)
        began = time.monotonic()
        deadline = began + header["wall"]
        open_fds = set(outputs)
        ending: tuple[int, Any] | None = None
        late = interrupted = False
        while open_fds or ending is None:
            wait = max(deadline - time.monotonic(), 0)
            for fd, events in poll.poll(wait * 1000 + 1):
                if fd in outputs:
                    if not outputs[fd].take(fd):
                        open_fds.discard(fd)
                        poll.unregister(fd)
                elif fd == self.exited:
                    poll.unregister(fd)
                    _, code, usage = os.wait4(self.pid, 0)
                    ending = code, usage
                    # What it left running holds the pipes open, and is to end with it.
                    end_others()
                    deadline = time.monotonic() + _DRAIN_SECONDS
                elif fd == self.stdin:
                    left = self._feed(left, poll, keep=one_cell)
                elif fd == host and events & (select.POLLHUP | select.POLLERR):
                    os._exit(0)  # nobody waits any more, and everything here ends with process 1
                elif fd == host:
                    poll.unregister(fd)  # the next request; its turn comes
            if one_cell and ending is None and report.complete(outputs[self.status].data):
                for fd in (self.stdout, self.stderr):
                    while fd in open_fds and outputs[fd].take(fd):
                        if not select.select([fd], [], [], 0)[0]:
                            break
                break
            if time.monotonic() >= deadline:
                if ending is not None:
                    break
                late = True
                if one_cell and not interrupted:
                    # An interrupt keeps the namespace, if the code lets itself be interrupted.
                    interrupted = True
                    os.kill(self.pid, signal.SIGINT)
                    deadline = time.monotonic() + _INTERRUPT_SECONDS
                else:
                    os.kill(self.pid, signal.SIGKILL)
                    deadline = time.monotonic() + _DRAIN_SECONDS
        reply: dict[str, Any] = {
            "exit": None if ending is None else os.waitstatus_to_exitcode(ending[0]),
            "cpu": 0.0 if ending is None else ending[1].ru_utime + ending[1].ru_stime,
            "seconds": time.monotonic() - began,
            "late": late,
            "dropped": [outputs[self.stdout].dropped, outputs[self.stderr].dropped],
            "told": report.read(outputs[self.status].data),
            "stdout_bytes": len(outputs[self.stdout].data),
        }
        return reply, bytes(outputs[self.stdout].data + outputs[self.stderr].data)

    def _feed(self, left: memoryview, poll: select.poll, *, keep: bool) -> memoryview:
        try:
            left = left[os.write(self.stdin, left) :]
        except BlockingIOError:
            return left
        except BrokenPipeError:
            left = left[:0]
        if not left:
            poll.unregister(self.stdin)
            if not keep:
                os.close(self.stdin)
                self.stdin = -1
        return left


def kill_all(kept: Process | None) -> None:
    """Kill every process of the box but process 1, which calls this, and the one that is kept."""
    if kept is None:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        return
    # What forks while it is looked for is found in the next round.
    deadline = time.monotonic() + _DRAIN_SECONDS
    while others := [pid for pid in _running() if pid not in (1, kept.pid)]:
        for pid in others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() >= deadline:
            return
        time.sleep(_ROUND_SECONDS)


def reap(kept: Process | None) -> None:
    """Take leave of processes that have ended, but of the one that is kept.

    Without one, all of them have been killed, and are waited for: they count as processes of the
    box until they are gone.
    """
    deadline = time.monotonic() + _DRAIN_SECONDS
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is not None and (kept is None or found.si_pid != kept.pid):
            os.waitpid(found.si_pid, 0)
        elif kept is not None or time.monotonic() >= deadline:
            return
        else:
            time.sleep(_ROUND_SECONDS)


def _running() -> Iterator[int]:
    """Give the numbers of the box's processes, without those that have ended."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            if file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X"):
                yield int(name)
