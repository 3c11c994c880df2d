"""What stands before a server's routes: who may ask, how much, and for how long they may take.

Plain ASGI, so that a request is refused before its body is read.
"""

import asyncio
import base64
import binascii
import secrets
import time

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentgym.server.faults import fault
from agentgym.server.messages import Fault

OPEN = frozenset({"/health"})
"""What may be asked without a token."""


class Token:
    """Lets only those ask who have the token.

    It comes as `Authorization: Bearer TOKEN`, or as the password of `Authorization: Basic`: that is
    what HTTP clients make of `http://agentgym:TOKEN@host/`, where nothing but a URL can be set.

    Args:
        app: What is guarded.
        token: The token.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            given = _given(Headers(scope=scope).get("authorization", ""))
            if not secrets.compare_digest(given, self._token):
                challenge = {"WWW-Authenticate": 'Bearer realm="agentgym"'}
                refusal = fault(401, Fault.TOKEN, "The token is missing or wrong", challenge)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _given(header: str) -> bytes:
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip().encode()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""


class Bounds:
    """Lets nobody send more than so much, or take longer to send or to read than so long.

    Args:
        app: What is guarded.
        body_bytes: The largest body of a request.
        seconds: To read a body; and to write a part of an answer.
    """

    def __init__(self, app: ASGIApp, body_bytes: int, seconds: float) -> None:
        self._app, self._most, self._seconds = app, body_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > self._most:
            await fault(413, Fault.REQUEST, self._too_large)(scope, receive, send)
            return
        due, read, whole = time.monotonic() + self._seconds, 0, False

        async def bounded_receive() -> Message:
            nonlocal read, whole
            if whole:  # what comes now is that the client has gone, whenever that is
                return await receive()
            try:
                async with asyncio.timeout(due - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"the body took longer than {self._seconds:g} s") from None
            read += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if read > self._most:
                raise HTTPException(413, self._too_large)
            return message

        async def bounded_send(message: Message) -> None:
            async with asyncio.timeout(self._seconds):
                await send(message)

        await self._app(scope, bounded_receive, bounded_send)

    @property
    def _too_large(self) -> str:
        return f"the body is larger than {self._most} bytes"
