"""`Wire`: pickled objects over a socket, large buffers beside the pickle and not inside it.

A message is a header (the number of parts and their lengths), the pickle (protocol 5), and its
out-of-band buffers, so that an image is copied once into the socket and once out of it.
"""

import pickle
import socket
import struct
from typing import Any

_COUNT = struct.Struct("!I")
_LENGTH = struct.Struct("!Q")


class Wire:
    """One end of a connection.

    Args:
        connection: A connected stream socket, owned by the wire from now on.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, message: Any) -> None:
        """Send a message.

        Raises:
            OSError: If the other end is gone.
            Exception: If the message can't be pickled; nothing was sent then.
        """
        buffers: list[pickle.PickleBuffer] = []
        head = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
        lengths = b"".join(_LENGTH.pack(len(part)) for part in parts)
        if len(parts) == 1:
            self._socket.sendall(_COUNT.pack(1) + lengths + head)
            return
        self._socket.sendall(_COUNT.pack(len(parts)) + lengths)
        for part in parts:
            self._socket.sendall(part)

    def receive(self) -> Any:
        """Wait for a message.

        Raises:
            EOFError: If the other end is gone.
            OSError: If the connection broke.
        """
        (count,) = _COUNT.unpack(self._read(_COUNT.size))
        lengths = self._read(_LENGTH.size * count)
        parts = [self._read(length) for (length,) in _LENGTH.iter_unpack(lengths)]
        return pickle.loads(parts[0], buffers=parts[1:])

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            got = self._socket.recv_into(view)
            if not got:
                raise EOFError
            view = view[got:]
        return data
