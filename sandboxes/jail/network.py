"""The loopback of a box, and the one port of it that is answered from outside.

A socket belongs to the network that it was made in, whoever holds it: the keeper listens inside,
and gives the socket to the host, which accepts there (`proxy.py`).
"""

from __future__ import annotations

import fcntl
import socket
import struct

PORT = 3128
"""Where programs find the proxy, on 127.0.0.1."""

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_WAITING = 16


def hand_over(connection: socket.socket) -> None:
    """Set the loopback up, and send the host a socket that listens there, or else what failed.

    Args:
        connection: To the host.
    """
    try:
        with socket.socket() as any_socket:
            request = struct.pack("16sH22x", b"lo", _IFF_UP)
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)
        with socket.create_server(("127.0.0.1", PORT), backlog=_WAITING) as listener:
            socket.send_fds(connection, [b"listens"], [listener.fileno()])
    except OSError as fault:
        connection.sendall(str(fault).encode())
