"""What went wrong, as an HTTP answer: one place decides which error is which status."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from agentgym.errors import AgentGymError, DataError, UsageError
from agentgym.server.boxes import NoBoxError
from agentgym.server.messages import Fault
from agentgym.server.turns import BusyError

RETRY_SECONDS = 1
"""What a client that found no room is told to wait at least."""

_NOBODY_LISTENS = 499


def fault(
    status: int, kind: Fault, message: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return an error as an answer."""
    body = {"error": {"kind": kind, "message": message}}
    return JSONResponse(body, status, headers)


def answer_to(error: AgentGymError) -> JSONResponse:
    """Return the answer that an error of ours is."""
    if isinstance(error, BusyError):
        return fault(429, Fault.BUSY, str(error), {"Retry-After": str(RETRY_SECONDS)})
    if isinstance(error, NoBoxError):
        return fault(404, Fault.GONE, str(error))
    if isinstance(error, DataError):
        return fault(409, Fault.DATA, str(error))
    if isinstance(error, UsageError):
        return fault(400, Fault.REQUEST, str(error))
    return fault(500, Fault.INFRA, str(error))


def said(errors: Sequence[Any]) -> str:
    """Return one line for a request that is malformed, with the name of each field."""
    lines: list[str] = []
    for error in errors:
        # The first part is where it was looked for: the body, the query, the path.
        field = ".".join(str(part) for part in error["loc"][1:])
        message = str(error["msg"]).removeprefix("Value error, ")
        if error["type"] == "json_invalid":
            field = ""
        elif not field:
            message = "it has to be an object, sent with Content-Type: application/json"
        lines.append(f"{field or 'the body'}: {message}")
    return "; ".join(lines)


def install(app: FastAPI) -> None:
    """Have an app answer its errors so."""
    app.add_exception_handler(AgentGymError, _of_ours)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(ClientDisconnect, _nobody_listens)


async def _of_ours(_: Request, error: Exception) -> Response:
    assert isinstance(error, AgentGymError)
    return answer_to(error)


async def _malformed(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return fault(422, Fault.REQUEST, said(error.errors()))


async def _of_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers) if error.headers else None
    return fault(error.status_code, Fault.REQUEST, str(error.detail), headers)


async def _nobody_listens(_: Request, __: Exception) -> Response:
    return Response(status_code=_NOBODY_LISTENS)
