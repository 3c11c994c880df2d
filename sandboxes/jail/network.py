"""The loopback of a box, and the one port of it that is answered from outside.

A socket belongs to the network that it was made in, whoever holds it: the keeper listens inside,
and gives the socket to the host, which accepts there (`proxy.py`). Nothing in the box passes bytes
on, and no other way leads out of it.
"""

from __future__ import annotations

import fcntl
import socket
import struct

PORT = 3128
"""Where programs find the proxy, on 127.0.0.1."""

MEETING = "/run/agentgym"
"""Where a container has the folder with the socket to the host."""

MEETING_SOCKET = "host"
"""Its name there."""

_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 1
_IFREQ = struct.Struct("16sH22x")
_WAITING = 16
_MEETING_SECONDS = 10.0


def hand_over(connection: socket.socket) -> None:
    """Have the loopback up, and send the host a socket that listens there, or else what failed.

    Args:
        connection: To the host.
    """
    try:
        with socket.socket() as any_socket:
            about = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, _IFREQ.pack(b"lo", 0))
            # An engine has done it, and a container's keeper has no right to.
            if not _IFREQ.unpack(about)[1] & _IFF_UP:
                fcntl.ioctl(any_socket, _SIOCSIFFLAGS, _IFREQ.pack(b"lo", _IFF_UP))
        with socket.create_server(("127.0.0.1", PORT), backlog=_WAITING) as listener:
            # Which is what the host reads where the socket doesn't come with it.
            said = b"the socket that listens there was lost on the way"
            socket.send_fds(connection, [said], [listener.fileno()])
    except OSError as fault:
        connection.sendall(str(fault).encode())


def hand_over_at_meeting() -> None:
    """Do so in a container, whose own connection to the host passes bytes alone.

    Raises:
        OSError: If the host can't be met.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_MEETING_SECONDS)
        connection.connect(f"{MEETING}/{MEETING_SOCKET}")
        hand_over(connection)
