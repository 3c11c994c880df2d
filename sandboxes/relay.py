"""`relay`: passes bytes both ways between a box and a server, until the server is done.

Neither end can make the other wait: each way has a buffer of its own, and while that is full
nothing more is read for it. An end that says and takes nothing for too long ends both.
"""

import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass

IDLE_SECONDS = 300.0
"""How long nothing may pass, such as while a server thinks, or a session stands still."""

TOTAL_SECONDS = 3600.0
"""How long a connection may last in all."""

_PART_BYTES = 1 << 16
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL


@dataclass(slots=True)
class _Flow:
    """One way of the two.

    Attributes:
        source: Where bytes come from.
        sink: Where they go.
        buffer: What has come and not gone yet.
        left: How many more may come; None for as many as there are.
        ended: Whether there are no more to come.
        over: Whether all of them have gone.
    """

    source: socket.socket
    sink: socket.socket
    buffer: bytes = b""
    left: int | None = None
    ended: bool = False
    over: bool = False

    def waits_for(self) -> tuple[socket.socket, int] | None:
        """Return what has to happen next; None if nothing does."""
        if self.buffer:
            return self.sink, select.POLLOUT
        return None if self.ended else (self.source, select.POLLIN)

    def step(self) -> None:
        """Do what has become possible.

        Raises:
            OSError: If the source is gone, or has sent more than it may.
        """
        with suppress(BlockingIOError):
            if not self.buffer:
                self._take()
            if self.buffer:
                self._give()
        self.over = self.ended and not self.buffer

    def _take(self) -> None:
        self.buffer = self.source.recv(_PART_BYTES)
        self.ended = not self.buffer
        if self.left is not None:
            self.left -= len(self.buffer)
            if self.left < 0:
                raise ConnectionAbortedError("a second request came on one connection")
        elif self.ended:
            with suppress(OSError):  # of a sink that is gone
                self.sink.shutdown(socket.SHUT_WR)

    def _give(self) -> None:
        try:
            self.buffer = self.buffer[self.sink.send(self.buffer) :]
        except ConnectionError:
            # A server may leave when it has said enough, which is still to be passed on.
            self.buffer, self.ended = b"", True


def relay(box: socket.socket, server: socket.socket, start: bytes, left: int | None) -> None:
    """Pass bytes both ways until the server is done, or time is over.

    Args:
        box: A connection to the program.
        server: A connection to where it wants to be.
        start: What goes to the server first.
        left: How many bytes may come from the box besides; None for as many as there are.

    Raises:
        OSError: If either end is gone, or the box has sent more.
    """
    for each in (box, server):
        each.setblocking(False)
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    there, back = _Flow(box, server, start, left), _Flow(server, box)
    deadline = time.monotonic() + TOTAL_SECONDS
    while not back.over and (seconds := deadline - time.monotonic()) > 0:
        wanted: dict[int, int] = {}
        for flow in (there, back):
            if (awaited := flow.waits_for()) is not None:
                wanted[awaited[0].fileno()] = wanted.get(awaited[0].fileno(), 0) | awaited[1]
        poll = select.poll()
        for fd, events in wanted.items():
            poll.register(fd, events)
        ready = dict(poll.poll(min(IDLE_SECONDS, seconds) * 1000))
        if not ready:
            return
        for flow in (there, back):
            awaited = flow.waits_for()
            if awaited is not None and ready.get(awaited[0].fileno(), 0) & (awaited[1] | _GONE):
                flow.step()
