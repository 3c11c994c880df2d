"""Messages between the host and a box: a JSON header and a body of bytes, each with its length."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

_LENGTHS = struct.Struct("<II")


def send(connection: socket.socket, header: dict[str, Any], body: bytes = b"") -> None:
    """Send a message."""
    text = json.dumps(header).encode()
    connection.sendall(_LENGTHS.pack(len(text), len(body)) + text + body)


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytes] | None:
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


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
