"""What goes over the wire between a sandbox server and its clients: JSON, with bytes in base 64.

Text is a JSON string, so that a request can be typed by hand; bytes are `{"base64": "…"}`. An
error is `{"error": {"kind": …, "message": …}}`, whose kind says who is at fault.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import fields, replace
from enum import StrEnum
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field

from agentgym.config import Config
from agentgym.sandbox import ExecResult, Limit, SandboxSpec


class Fault(StrEnum):
    """Who is at fault, and what a client does about it."""

    REQUEST = "request"
    """The request: it can't be done as asked."""
    DATA = "data"
    """A file: it isn't there, is no file, or can't be written."""
    TOKEN = "token"
    """The caller has not shown that it may ask."""
    GONE = "gone"
    """The box: there is none of that name any more."""
    BUSY = "busy"
    """Nobody: there is no room now. Nothing has run; ask again."""
    INFRA = "infra"
    """The sandbox: it failed. Something may have run."""


def to_wire(data: bytes | str) -> str | dict[str, str]:
    """Return JSON for text or bytes."""
    return data if isinstance(data, str) else {"base64": base64.b64encode(data).decode()}


def _from_wire(value: object) -> object:
    if not isinstance(value, Mapping) or set(cast("Mapping[str, object]", value)) != {"base64"}:
        return value  # a text, or what the next validator refuses
    text = cast("Mapping[str, object]", value)["base64"]
    try:
        return base64.b64decode(text if isinstance(text, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("what `base64` holds is not base 64") from None


Content = Annotated[bytes | str, BeforeValidator(_from_wire)]
"""Text or bytes, as they come over the wire."""


class BoxRequest(SandboxSpec):
    """A box that is asked for: a `SandboxSpec`."""

    files: dict[str, Content] = Field(default_factory=dict)

    @classmethod
    def of(cls, spec: SandboxSpec) -> dict[str, Any]:
        """Return the JSON that asks for a box; the server's defaults are ours."""
        files = {path: to_wire(data) for path, data in spec.files.items()}
        return spec.model_dump(mode="json", exclude={"files"}) | {"files": files}


class _Code(Config):
    code: str | Annotated[list[str], Field(min_length=1)]
    language: str | None = None
    stdin: Content = ""
    files_out: list[str] = Field(default_factory=list, max_length=64)


class ExecRequest(_Code):
    """An exec in a box, as `Sandbox.exec` takes it."""

    wall_seconds: float | None = Field(default=None, gt=0)


class RunRequest(BoxRequest, _Code):
    """An exec in a box of its own, which is closed afterwards."""


class Opened(Config):
    """A box that was opened.

    Attributes:
        id: Names it in the routes below `/v1/boxes`.
        isolation: How it is kept apart.
        limits: The limits that it got.
        answer_seconds: How much longer than an exec its answer may take: the longest wait for a
            turn and what the server allows itself.
        idle_seconds: It is closed when it was not used for so long.
    """

    id: str
    isolation: str
    limits: dict[str, float]
    answer_seconds: float
    idle_seconds: float


class ExecAnswer(Config):
    """An `ExecResult`."""

    stdout: str
    stderr: str
    exit_code: int
    seconds: float
    cpu_seconds: float
    limit: Limit | None
    dropped: tuple[int, int]
    value: str | None
    figures: tuple[Content, ...]
    files: dict[str, Content]
    isolation: str
    state_lost: bool

    @staticmethod
    def of(result: ExecResult) -> dict[str, Any]:
        """Return a result as JSON."""
        plain = {field.name: getattr(result, field.name) for field in fields(result)}
        # Hearsay of the program's, which may hold what is no Unicode.
        plain["value"] = result.value and result.value.encode("utf-8", "replace").decode()
        plain["figures"] = [to_wire(figure) for figure in result.figures]
        plain["files"] = {path: to_wire(data) for path, data in result.files.items()}
        return plain

    @classmethod
    def result(cls, answer: bytes, isolation: str | None = None) -> ExecResult:
        """Return the result that an answer's JSON holds.

        Raises:
            pydantic.ValidationError: If it holds none.
        """
        told: dict[str, Any] = dict(cls.model_validate_json(answer))
        result = ExecResult(**told)
        return replace(result, isolation=isolation) if isolation else result
