"""`Proxy`: the one way out of a box whose programs may reach listed hosts.

It is a small HTTP proxy on the host's side, which accepts on a socket of the box's own loopback.
The box has no route and no resolver: a program says whom it wants (`HTTPS_PROXY` and its like tell
it where), and the proxy decides, resolves the name and connects.

| what | how it is held |
|---|---|
| hosts | those on the list, at their ports; any other is a 403 that says what is listed |
| names that resolve to what is near the host | refused, unless that address is listed itself |
| names that resolve to something else later | it is the judged address that is connected to |
| a second request on a connection | there is none: `proxy_request.py` bounds the first one |
| connections, heads, silence | bounded in number, size and time |

A thread for each connection, and all of them end with the box. None keeps the interpreter alive.
"""

import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

from agentgym.destinations import address_of, listed, parsed, usable
from agentgym.errors import InfraError
from agentgym.sandboxes.jail.network import PORT
from agentgym.sandboxes.proxy_request import (
    ANSWER_SECONDS,
    ProxyRequest,
    RefusedError,
    authority,
    read_head,
    refuse,
)
from agentgym.sandboxes.relay import relay

CONNECTIONS = 32
"""How many a box has at once; more wait until one ends."""

CONNECT_SECONDS = 10.0
"""How long the first addresses of a host may take together."""

_ADDRESSES = 4
_RECEIVE_SECONDS = 10.0
_PAUSE_SECONDS = 0.1
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def variables(network: tuple[str, ...]) -> dict[str, str]:
    """Return the environment that tells programs of the proxy."""
    hosts = {each.host for each in parsed(network)}
    # Their own loopback is the box's, unless it is the host's that they are to reach.
    direct = ",".join(host for host in ("localhost", "127.0.0.1", "::1") if host not in hosts)
    told = {"NO_PROXY": direct} | dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), f"http://127.0.0.1:{PORT}"
    )
    return told | {name.lower(): value for name, value in told.items()}


def received(connection: socket.socket) -> socket.socket:
    """Return the socket in a box that its keeper sends with `network.hand_over`.

    Args:
        connection: To the keeper.

    Raises:
        InfraError: If there is none.
    """
    try:
        connection.settimeout(_RECEIVE_SECONDS)
        answer, fds, _, _ = socket.recv_fds(connection, 4096, 1, socket.MSG_CMSG_CLOEXEC)
    except OSError as fault:
        raise InfraError(f"The sandbox's loopback was not set up: {fault}") from fault
    if not fds:
        said = answer.decode("utf-8", "replace") or "its keeper has died"
        raise InfraError(f"The sandbox's loopback can't be set up: {said}")
    return socket.socket(fileno=fds[0])


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name, as this machine resolves it.

    Raises:
        OSError: If there are none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class Proxy:
    """Serves one box until it is closed.

    Args:
        listener: Where programs connect; the proxy's from now on.
        network: What they may reach, as in `SandboxSpec`.

    Raises:
        InfraError: If it can't be started.
    """

    def __init__(self, listener: socket.socket, network: tuple[str, ...]) -> None:
        self._network, self._allowed = network, parsed(network)
        self._owner = os.getpid()
        self._closed = False
        self._slots = threading.Semaphore(CONNECTIONS)
        # Reentrant, since a box that is let go of may be closed by whichever thread finds it so.
        self._lock = threading.RLock()
        self._sockets = {listener}
        _proxies.add(self)
        listener.setblocking(True)
        try:
            self._start(self._accept, listener)
        except RuntimeError as fault:  # no thread can be started
            listener.close()
            raise InfraError(f"The sandbox's proxy can't be started: {fault}") from fault

    def close(self) -> None:
        """End every connection, and soon the threads; may be called more than once."""
        if self._owner != os.getpid():
            return  # the connections are our parent's
        with self._lock:
            self._closed = True
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Let go, in a fork, of connections that go on in its parent."""
        for each in list(self._sockets):
            each.close()

    def _start(self, function: Callable[[socket.socket], None], connection: socket.socket) -> None:
        threading.Thread(
            target=function, args=(connection,), name="agentgym-proxy", daemon=True
        ).start()

    @contextmanager
    def _tracked(self, connection: socket.socket) -> Generator[socket.socket]:
        """Have a connection end with the box."""
        with connection:
            with self._lock:
                if self._closed:
                    raise OSError("the box is closed")
                self._sockets.add(connection)
            try:
                yield connection
            finally:
                with self._lock:
                    self._sockets.discard(connection)
                with suppress(OSError):  # also where a fork has a copy
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError), self._tracked(listener):
            while not self._closed:
                # Each of those that hold one has a limit of time.
                self._slots.acquire()
                try:
                    connection, _ = listener.accept()
                except OSError:  # the box is closed, or this process has no descriptor to spare
                    self._slots.release()
                    time.sleep(0 if self._closed else _PAUSE_SECONDS)
                    continue
                try:
                    self._start(self._serve, connection)
                except RuntimeError:  # nor a thread
                    self._slots.release()
                    connection.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with self._tracked(connection) as box:
                try:
                    self._pass_on(box)
                except RefusedError as refusal:
                    refuse(box, refusal)
        except OSError:
            pass  # either end is gone, which the other one has heard by now
        finally:
            self._slots.release()

    def _pass_on(self, box: socket.socket) -> None:
        head, rest = read_head(box)
        request = ProxyRequest.parse(head)
        left = None if request.body_bytes is None else request.body_bytes - len(rest)
        if left is not None and left < 0:
            raise RefusedError(400, "one connection takes one request")
        with self._reached(request.host, request.port) as server:
            if left is None:
                box.settimeout(ANSWER_SECONDS)
                box.sendall(_ESTABLISHED)
            relay(box, server, request.head + rest, left)

    @contextmanager
    def _reached(self, host: str, port: int) -> Generator[socket.socket]:
        """Connect to a host, if that is allowed."""
        fault: OSError | None = None
        addresses = self._addresses(host, port)[:_ADDRESSES]
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with self._tracked(socket.socket(family)) as server:
                server.settimeout(CONNECT_SECONDS / len(addresses))
                try:
                    server.connect((address, port))
                except OSError as failed:
                    fault = failed
                    continue
                yield server
                return
        why = "no answer" if isinstance(fault, TimeoutError) else fault and fault.strerror
        raise RefusedError(502, f"{authority(host, port)} can't be reached: {why}")

    def _addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses that a connection to a host may be to.

        Raises:
            RefusedError: If there are none.
        """
        if not any(each.allows(host, port) for each in self._allowed):
            raise RefusedError(
                403,
                f"{authority(host, port)} is not on the list of what this sandbox may reach: "
                f"{listed(self._network)}",
            )
        try:
            # The system's resolver has its own limits of time, and can't be interrupted.
            literal = host == "localhost" or address_of(host) is not None
            found = [host] if literal else resolve(host, port)
        except OSError as fault:
            raise RefusedError(502, f"{host} can't be resolved: {fault.strerror}") from fault
        addresses = usable(found, host, port, self._allowed)
        if not addresses:
            raise RefusedError(
                403,
                f"{host} resolves to an address that is not public, which has to be listed itself",
            )
        return addresses


_proxies: "weakref.WeakSet[Proxy]" = weakref.WeakSet()


def _forget() -> None:
    for proxy in list(_proxies):
        proxy.forget()


os.register_at_fork(after_in_child=_forget)
