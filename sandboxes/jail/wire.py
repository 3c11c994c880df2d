"""Messages: a JSON header and a body of bytes, each with its length.

Between the host and a keeper, and over pipes between a keeper and a program.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any, Protocol

LENGTHS = struct.Struct("<II")


class Source(Protocol):
    """Where messages come from."""

    def recv(self, size: int, /) -> bytes:
        """Return some of what has come, or wait for it; nothing at the end."""
        ...


class Connection(Source, Protocol):
    """What messages go over both ways: a socket, or what behaves like one."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of it."""

    def fileno(self) -> int:
        """Return what to poll for something to receive, or for its end."""
        ...

    def settimeout(self, value: float, /) -> None:
        """Let nothing take longer than so many seconds; `TimeoutError` otherwise."""


class Pipe:
    """The end of a pipe that is read from.

    Args:
        fd: Its descriptor.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def recv(self, size: int) -> bytes:
        """Return some of what has come, or wait for it; nothing at the end."""
        return os.read(self._fd, size)


def pack(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Return a message as it is sent."""
    text = json.dumps(header).encode()
    return LENGTHS.pack(len(text), len(body)) + text + body


def send(connection: Connection, header: dict[str, Any], body: bytes = b"") -> None:
    """Send a message."""
    connection.sendall(pack(header, body))


def receive(connection: Source) -> tuple[dict[str, Any], bytes] | None:
    """Return the next message's header and body; None where the other end has closed."""
    start = _exactly(connection, LENGTHS.size)
    if start is None:
        return None
    header_bytes, body_bytes = LENGTHS.unpack(start)
    header = _exactly(connection, header_bytes)
    body = _exactly(connection, body_bytes)
    if header is None or body is None:
        return None
    return json.loads(header), body


def _exactly(connection: Source, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
