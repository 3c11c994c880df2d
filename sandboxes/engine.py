"""A Docker Engine, through its SDK: this process's client of it, and a container's streams."""

import os
import socket
import struct
import threading
from contextlib import suppress
from typing import Any

from agentgym.errors import InfraError, MissingDependencyError

ENGINE_SECONDS = 60.0
"""How long the engine may take for anything."""

_LIMITS = ("MemoryLimit", "PidsLimit")
_SAID_BYTES = 4096
_STDERR = 2


class Streams:
    """A container's stdin and stdout, as a connection to its keeper.

    Args:
        api: The engine.
        name: The container, which hasn't been started yet.
    """

    def __init__(self, api: Any, name: str) -> None:
        wanted = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        self._attached = api.attach_socket(name, params=wanted)
        # On a Unix socket and on TCP the SDK gives a file around the socket that can be timed.
        self._socket: socket.socket = getattr(self._attached, "_sock", self._attached)
        self._left = 0
        self._said = b""

    @property
    def said(self) -> str:
        """The last line of the keeper's error stream."""
        return self._said.decode("utf-8", "replace").strip().rpartition("\n")[2]

    def settimeout(self, value: float) -> None:
        """Let no call take longer."""
        self._socket.settimeout(value)

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.sendall(data)

    def recv(self, size: int) -> bytes:
        """Return some of what the keeper has written; the engine sends it in frames."""
        while not self._left:
            frame = self._exactly(8)
            if len(frame) < 8:
                return b""
            stream, length = struct.unpack(">BxxxI", frame)
            if stream == _STDERR:
                self._said = (self._said + self._exactly(length))[-_SAID_BYTES:]
            else:
                self._left = length
        part = self._socket.recv(min(size, self._left))
        self._left -= len(part)
        return part

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def shut(self) -> None:
        """Hang up: the keeper leaves, and no answer comes to who waits for one."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up and let go of the descriptor, which nobody may wait at any more."""
        self.shut()
        self._attached.close()
        self._socket.close()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                break
            data += part
        return data


_clients: dict[tuple[int, str | None], Any] = {}
_clients_lock = threading.Lock()


def client(engine: str | None) -> Any:
    """Return this process's client of an engine.

    Args:
        engine: Its address; None for what DOCKER_HOST says, or this machine's own.

    Raises:
        MissingDependencyError: If the docker package is not installed.
        InfraError: If no engine answers there, or it can't keep limits.
    """
    # A fork of us must not share our connections.
    key = os.getpid(), address(engine)
    with _clients_lock:
        if key not in _clients:
            _clients[key] = _connected(engine)
        return _clients[key]


def address(engine: str | None) -> str | None:
    """Return the address of an engine; None where it is the usual one of this machine."""
    return engine or os.environ.get("DOCKER_HOST")


def _connected(engine: str | None) -> Any:
    try:
        import docker
    except ImportError as fault:
        raise MissingDependencyError("docker", "docker") from fault

    options: dict[str, Any] = {"timeout": ENGINE_SECONDS, "max_pool_size": 64}
    try:
        made = (
            docker.from_env(**options) if engine is None else docker.DockerClient(engine, **options)
        )
        about = made.info()
    except faults() as fault:
        raise InfraError(_unreachable(engine)) from fault
    # It would start containers all the same, without limits.
    missing = [limit for limit in _LIMITS if not about.get(limit)]
    if missing:
        raise InfraError(
            f"The Docker Engine can't keep limits ({', '.join(missing)}), so no box would hold; "
            "it needs the memory and pids cgroups, and `docker info` says more"
        )
    return made


def faults() -> tuple[type[Exception], ...]:
    """Return what the SDK raises where the engine refuses, breaks off or isn't there."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    return DockerException, RequestException, OSError


def _unreachable(engine: str | None) -> str:
    where = address(engine) or "/var/run/docker.sock"
    return (
        f"No Docker Engine answers at {where}; start one (systemctl start docker), let this user "
        "speak to it (usermod -aG docker), or name another one in DOCKER_HOST"
    )
