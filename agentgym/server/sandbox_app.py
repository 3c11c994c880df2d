"""The sandbox server's routes.

| route | does |
|---|---|
| `POST /v1/exec` | runs something in a box of its own |
| `POST /v1/boxes` | opens a box |
| `POST /v1/boxes/{id}/exec` | runs something in it |
| `PUT`, `GET /v1/boxes/{id}/files?path=…` | write and read a file; the body is its content |
| `DELETE /v1/boxes/{id}` | closes it, and ends what runs in it |
| `POST /run_code` | as SandboxFusion answers it |
| `GET /health` | says that the server serves; the one route without a token |
| `GET /metrics` | Prometheus's text format |

What a client no longer waits for is ended.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentgym.server import faults, fusion
from agentgym.server.boxes import Boxes
from agentgym.server.config import SandboxServerConfig
from agentgym.server.guards import Bounds, Token
from agentgym.server.messages import BoxRequest, ExecAnswer, ExecRequest, RunRequest
from agentgym.server.metrics import SandboxMetrics

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SandboxApp:
    """The server.

    Attributes:
        asgi: As an ASGI application.
        stop: Has it finish what runs, within its time, and close every box.
    """

    asgi: ASGIApp
    stop: Callable[[], Awaitable[None]]


def sandbox_app(config: SandboxServerConfig, token: str | None, isolation: str) -> SandboxApp:
    """Return the server.

    Args:
        config: What it lends.
        token: Who has it may ask; None lets everybody.
        isolation: How its boxes are kept apart, as `/health` says it.
    """
    routes = _Routes(config, isolation)
    # /docs would have a browser fetch scripts from elsewhere.
    app = FastAPI(title="agentgym sandboxes", docs_url=None, redoc_url=None, lifespan=routes.life)
    for method, path, route in (
        ("POST", "/v1/exec", routes.run),
        ("POST", "/v1/boxes", routes.open),
        ("POST", "/v1/boxes/{box_id}/exec", routes.exec),
        ("PUT", "/v1/boxes/{box_id}/files", routes.put),
        ("GET", "/v1/boxes/{box_id}/files", routes.get),
        ("DELETE", "/v1/boxes/{box_id}", routes.close),
        ("POST", "/run_code", routes.run_code),
        ("GET", "/health", routes.health),
        ("GET", "/metrics", routes.figures),
    ):
        kind = _FusionRoute if route == routes.run_code else APIRoute
        app.router.add_api_route(
            path, route, methods=[method], response_model=None, route_class_override=kind
        )
    faults.install(app)
    guarded: ASGIApp = Bounds(app, config.request_bytes, config.transfer_seconds)
    if token is not None:
        guarded = Token(guarded, token)
    return SandboxApp(_Counted(guarded, routes.metrics), routes.stop)


class _Routes:
    def __init__(self, config: SandboxServerConfig, isolation: str) -> None:
        self.metrics = SandboxMetrics()
        self._config, self._isolation = config, isolation
        self._boxes: Boxes | None = None

    @asynccontextmanager
    async def life(self, _: FastAPI) -> AsyncGenerator[None]:
        self._boxes = Boxes(self._config, self.metrics)
        try:
            yield
        finally:
            await self._boxes.aclose()

    async def stop(self) -> None:
        await self.boxes.stop()

    @property
    def boxes(self) -> Boxes:
        assert self._boxes is not None, "the server has not begun"
        return self._boxes

    async def run(self, body: RunRequest, request: Request) -> Response:
        return _json(ExecAnswer.of(await _while_wanted(request, self.boxes.run(body))))

    async def open(self, body: BoxRequest, request: Request) -> Response:
        opened = await _while_wanted(request, self.boxes.open(body))
        return _json(opened.model_dump(), 201)

    async def exec(self, box_id: str, body: ExecRequest, request: Request) -> Response:
        result = await _while_wanted(request, self.boxes.exec(box_id, body))
        return _json(ExecAnswer.of(result))

    async def put(
        self, box_id: str, path: Annotated[str, Query(min_length=1)], request: Request
    ) -> Response:
        data = await request.body()
        await _while_wanted(request, self.boxes.put(box_id, path, data))
        return Response(status_code=204)

    async def get(
        self,
        box_id: str,
        path: Annotated[str, Query(min_length=1)],
        request: Request,
        most_bytes: Annotated[int | None, Query(ge=0)] = None,
    ) -> Response:
        data = await _while_wanted(request, self.boxes.get(box_id, path, most_bytes))
        return Response(data, media_type="application/octet-stream")

    async def close(self, box_id: str) -> Response:
        await self.boxes.close(box_id)
        return Response(status_code=204)

    async def run_code(self, body: fusion.FusionRequest, request: Request) -> Response:
        return await _while_wanted(request, fusion.run_code(self.boxes, body))

    async def health(self) -> Response:
        told = {"status": "ok", "backend": self._config.backend, "isolation": self._isolation}
        return JSONResponse(told | {"most": self._config.most.model_dump()})

    async def figures(self) -> Response:
        return Response(self.metrics.text(), media_type=self.metrics.content_type)


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value), status, media_type="application/json")


class _FusionRoute(APIRoute):
    """Answers a malformed request in SandboxFusion's shape."""

    def get_route_handler(self) -> Any:
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await inner(request)
            except RequestValidationError as error:
                return fusion.sandbox_error(faults.said(error.errors()), 422)

        return handler


async def _while_wanted(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do some work as long as the client waits for it.

    Raises:
        ClientDisconnect: If it stopped waiting; the work was cancelled then.
    """
    doing = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ClientDisconnect
        return doing.result()
    finally:
        leaving.cancel()
        if not doing.done():
            doing.cancel()
            # What it does when it is cancelled, closing a box above all, has time limits.
            await asyncio.wait({doing})
            if not doing.cancelled():
                doing.exception()  # which nobody wants to hear of


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Counted:
    """Counts the requests that are answered, by route rather than by path."""

    def __init__(self, app: ASGIApp, metrics: SandboxMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def counted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, counted_send)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(scope["method"], route, str(status)).inc()
            self._metrics.request_seconds.labels(route).observe(time.perf_counter() - began)
