"""`serve`: run an ASGI application until it is told to stop, for those who may reach it.

A server on this machine's loopback needs a token unless its user says otherwise; one that others
can reach needs one whatever its user says.
"""

import asyncio
import ipaddress
import math
import resource
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from agentgym.errors import UsageError

_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 2048


def chosen_token(host: str, token: str | None, *, auth: bool) -> str | None:
    """Return the token that a server asks for: the one given, or a new one; None for no token.

    Args:
        host: Where it listens.
        token: The one that its user gave, if they did.
        auth: Whether they want one at all.

    Raises:
        UsageError: If others could reach the server without a token.
    """
    if not auth:
        if not is_loopback(host):
            raise UsageError(
                f"Whoever reaches {host} could run code here: --no-auth is for 127.0.0.1 only; "
                "give a token, or listen there"
            )
        return None
    if token is not None and not _fits_a_header(token):
        raise UsageError("A token has to be of ASCII characters, without spaces, and not empty")
    if token is None and not is_loopback(host):
        raise UsageError(
            f"Others can reach {host}, so the token is yours to choose: set AGENTGYM_TOKEN, to "
            f"the output of `openssl rand -hex 32` for example"
        )
    return token or secrets.token_urlsafe(32)


def _fits_a_header(token: str) -> bool:
    return token.isascii() and token.isprintable() and token.split() == [token]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def only_from_here(app: ASGIApp, host: str) -> ASGIApp:
    """Answer only to this machine's own names.

    A page in a browser can have its own name mean 127.0.0.1, and then ask what has no token.
    """
    return TrustedHostMiddleware(app, ["localhost", "127.0.0.1", "::1", "[::1]", host])


def serve(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    begun: Callable[[str], None],
    stop: Callable[[], Awaitable[None]],
    grace_seconds: float,
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        app: What is served.
        host: Where to listen.
        port: And at which port; 0 for a free one.
        begun: Told the URL, once connections are accepted.
        stop: Called when it is told to stop, while requests under way are still answered.
        grace_seconds: What that may take; requests that last longer are cut off.

    Raises:
        UsageError: If it can't listen there.
        KeyboardInterrupt: After Ctrl-C, once everything is closed.
    """
    _allow_many_files()
    with listening(host, port) as listener:
        number = listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            ws="none",
            lifespan="on",
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=math.ceil(grace_seconds),
        )
        server = _Server(config, stop)
        with _outliving_sigterm():
            begun(f"http://{shown}:{number}")
            asyncio.run(server.serve(sockets=[listener]))


class _Server(uvicorn.Server):
    """Stops what its requests wait for, where uvicorn would only wait for the requests."""

    def __init__(self, config: uvicorn.Config, stop: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._stop = stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        stopping = asyncio.ensure_future(self._stop())
        await super().shutdown(sockets)
        await stopping


@contextmanager
def listening(host: str, port: int) -> Generator[socket.socket]:
    """Listen, for the length of a block.

    Raises:
        UsageError: If that can't be done there.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(f"{host}:{port} can't be listened at: {error.strerror}") from error
    # Connections inherit it. Without, the head and the body of an answer are 40 ms apart.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        yield listener


@contextmanager
def _outliving_sigterm() -> Generator[None]:
    """Have SIGTERM do nothing more once uvicorn, which raises it again, has stopped."""

    def nothing(_number: int, _frame: FrameType | None) -> None:
        return None

    before = signal.signal(signal.SIGTERM, nothing)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _allow_many_files() -> None:
    """Allow as many connections and boxes as the system lets us; 1,024 files are few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
