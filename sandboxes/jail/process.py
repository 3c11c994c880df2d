"""A program that runs in a box, as its keeper sees it: fed, listened to, and ended when it is time.

Nothing here needs a namespace or a mount of its own, and nothing that a program writes is trusted.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agentgym.sandboxes.jail import report, wire
from agentgym.sandboxes.jail.launcher import Settled
from agentgym.sandboxes.jail.report import Report

_DRAIN_SECONDS = 1.0
_INTERRUPT_SECONDS = 0.5
_POLL_SECONDS = 3600.0
_SPOILT = b"the session has written to the pipe of its reports, and is ended\n"

Settle = Callable[[int], Settled]
"""Ends what a program left running, given its number if it has exited, or else 0."""


@dataclass
class _Captured:
    """What came out of a pipe, up to a limit."""

    limit: int
    data: bytearray = field(default_factory=bytearray)
    dropped: int = 0

    def take(self, fd: int) -> bool | None:
        """Take what a pipe holds; False at its end, None if it held nothing."""
        try:
            part = os.read(fd, 1 << 16)
        except BlockingIOError:
            return None
        room = self.limit - len(self.data)
        self.data += part[: max(room, 0)]
        self.dropped += max(len(part) - max(room, 0), 0)
        return bool(part)


@dataclass
class Process:
    """A program, and our ends of its pipes.

    Attributes:
        pid: Its number, as its launcher sees it.
        exited: A descriptor that can be read once it has exited.
        signal: Sends it a signal; nothing happens if it has exited.
        orders: Our end of where it is told what to do; -1 once that is closed.
        stdin: Of what it reads; -1 once that is closed.
        stdout: Our end of what it prints.
        stderr: Of its error stream.
        status: Of what it reports of itself.
    """

    pid: int
    exited: int
    signal: Callable[[int], None]
    orders: int
    stdin: int
    stdout: int
    stderr: int
    status: int

    def close(self) -> None:
        """Close our ends."""
        for fd in (self.exited, self.orders, self.stdin, self.stdout, self.stderr, self.status):
            if fd >= 0:
                os.close(fd)

    @property
    def alive(self) -> bool:
        """Whether it has not exited yet."""
        return not select.select([self.exited], [], [], 0)[0]

    def forget(self) -> None:
        """Drop what lies in its pipes."""
        for fd in (self.stdout, self.stderr, self.status):
            while _Captured(0).take(fd):
                pass

    def follow(
        self, header: dict[str, Any], orders: bytes, stdin: bytes, host: int, settle: Settle
    ) -> tuple[dict[str, Any], bytes]:
        """Feed it, collect what it writes, and end it when its time is over.

        A session's cell is over once its report came; anything else when it has exited.

        Args:
            header: The request; that of a cell has its name ("cell").
            orders: What it is told to do; a session gets more another time.
            stdin: What it reads.
            host: The connection to whoever waits; if it breaks, this process exits.
            settle: Ends what it leaves running.
        """
        cell: str | None = header.get("cell")
        most: int = header["output_bytes"]
        told_bytes = wire.LENGTHS.size + report.HEADER_BYTES + most + report.FIGURES_BYTES
        status = _Captured(told_bytes)
        outputs = {self.stdout: _Captured(most), self.stderr: _Captured(most), self.status: status}
        poll = select.poll()
        for fd in (*outputs, self.exited, host):
            poll.register(fd, select.POLLIN)
        feeds: dict[int, memoryview] = {}
        for fd, data in ((self.orders, orders), (self.stdin, stdin)):
            if fd >= 0:
                feeds[fd] = memoryview(data)
                poll.register(fd, select.POLLOUT)
        began = time.monotonic()
        deadline = began + header["wall"]
        open_fds = set(outputs)
        ending: Settled | None = None
        late = interrupted = spoilt = False
        while open_fds or ending is None:
            wait = min(max(deadline - time.monotonic(), 0), _POLL_SECONDS)
            for fd, events in poll.poll(wait * 1000 + 1):
                if fd in outputs:
                    if outputs[fd].take(fd) is False:
                        open_fds.discard(fd)
                        poll.unregister(fd)
                elif fd == self.exited:
                    poll.unregister(fd)
                    # What it left running holds the pipes open, and is to end with it.
                    ending = settle(self.pid)
                    deadline = time.monotonic() + _DRAIN_SECONDS
                elif fd in feeds:
                    feeds[fd] = self._feed(fd, feeds[fd], poll, cell is not None)
                elif fd == host and events & (select.POLLHUP | select.POLLERR):
                    os._exit(0)  # nobody waits any more, and everything here ends with us
                elif fd == host:
                    poll.unregister(fd)  # the next request; its turn comes
            reports = cell is not None and ending is None and not spoilt
            if reports and report.length(status.data, most) is not None and settle(0).kept:
                # Nothing runs now, so that what the pipes hold is all that there is.
                for fd in open_fds:
                    while outputs[fd].take(fd):
                        pass
                if Report.of(status.data, most, cell) is not None and not status.dropped:
                    break
                spoilt = True
                self.signal(signal.SIGKILL)
            if time.monotonic() >= deadline:
                if ending is not None:
                    break
                late = True
                if cell is not None and not interrupted:
                    # An interrupt keeps the namespace, if the code lets itself be interrupted.
                    interrupted = True
                    self.signal(signal.SIGINT)
                    deadline = time.monotonic() + _INTERRUPT_SECONDS
                else:
                    self.signal(signal.SIGKILL)
                    deadline = time.monotonic() + _DRAIN_SECONDS
        stdout, stderr = outputs[self.stdout], outputs[self.stderr]
        if spoilt:
            stderr.data += _SPOILT
        # A program may say nothing of itself, or nonsense.
        told = (None if spoilt else Report.of(status.data, most, cell)) or Report()
        wait_status = None if ending is None else ending.status
        reply: dict[str, Any] = {
            "exit": None if wait_status is None else os.waitstatus_to_exitcode(wait_status),
            "cpu": 0.0 if ending is None else ending.cpu,
            "seconds": time.monotonic() - began,
            "late": late,
            "dropped": [stdout.dropped, stderr.dropped],
            "sizes": [len(stdout.data), len(stderr.data)],
            "told": told.header,
        }
        return reply, bytes(stdout.data + stderr.data) + told.body

    def _feed(self, fd: int, left: memoryview, poll: select.poll, is_cell: bool) -> memoryview:
        try:
            left = left[os.write(fd, left) :] if left else left
        except BlockingIOError:
            return left
        except BrokenPipeError:
            left = left[:0]
        if not left:
            poll.unregister(fd)
            if fd == self.stdin:
                os.close(fd)
                self.stdin = -1
            elif not is_cell:
                os.close(fd)
                self.orders = -1
        return left
