"""Messages between the host and a box: a JSON header and a body of bytes, each with its length."""

from __future__ import annotations

import json
import struct
from typing import Any, Protocol

_LENGTHS = struct.Struct("<II")


class Connection(Protocol):
    """What messages go over: a socket, or what behaves like one."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of it."""

    def recv(self, size: int, /) -> bytes:
        """Return some of what has come, or wait for it; nothing at the end."""
        ...

    def fileno(self) -> int:
        """Return what to poll for something to receive, or for its end."""
        ...

    def settimeout(self, value: float, /) -> None:
        """Let nothing take longer than so many seconds; `TimeoutError` otherwise."""


def send(connection: Connection, header: dict[str, Any], body: bytes = b"") -> None:
    """Send a message."""
    text = json.dumps(header).encode()
    connection.sendall(_LENGTHS.pack(len(text), len(body)) + text + body)


def receive(connection: Connection) -> tuple[dict[str, Any], bytes] | None:
    """Return the next message's header and body; None where the other end has closed."""
    start = _exactly(connection, _LENGTHS.size)
    if start is None:
        return None
    header_bytes, body_bytes = _LENGTHS.unpack(start)
    header = _exactly(connection, header_bytes)
    body = _exactly(connection, body_bytes)
    if header is None or body is None:
        return None
    return json.loads(header), body


def _exactly(connection: Connection, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
