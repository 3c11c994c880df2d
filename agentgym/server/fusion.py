"""`POST /run_code` as SandboxFusion answers it, so that recipes written for it work unchanged.

The request and response are those of https://github.com/bytedance/SandboxFusion. What differs:

| SandboxFusion | here |
|---|---|
| 29 languages | python and bash; another one is a `SandboxError` that names these |
| memory without a limit by default | the most that the server grants |
| `args`, for pytest only | accepted and not used |
| no back-pressure | 504 where there is no room: the status that verl's client tries again after |

A request that is malformed is a 422 with a `SandboxError` that names the field.
"""

import base64
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from agentgym.errors import AgentGymError
from agentgym.sandbox import ExecResult, Limit
from agentgym.server.boxes import Boxes
from agentgym.server.faults import RETRY_SECONDS
from agentgym.server.messages import RunRequest
from agentgym.server.turns import BusyError

LANGUAGES = ("python", "bash")
_NO_ROOM = 504
_LEAST_MEMORY_MB = 16
_LATE = (Limit.WALL, Limit.CPU)


class FusionRequest(BaseModel):
    """What SandboxFusion's clients send; keys that they add besides are passed over."""

    code: str
    language: str
    compile_timeout: float = Field(default=10.0, gt=0)
    run_timeout: float = Field(default=10.0, gt=0)
    memory_limit_MB: int = -1
    stdin: str | None = None
    files: dict[str, str | None] = Field(default_factory=dict)
    fetch_files: list[str] = Field(default_factory=list, max_length=64)


async def run_code(boxes: Boxes, request: FusionRequest) -> JSONResponse:
    """Run code and answer in SandboxFusion's shape."""
    if request.language not in LANGUAGES:
        known = " and ".join(LANGUAGES)
        return sandbox_error(f"language: there is no {request.language!r} here; known are {known}")
    try:
        result = await boxes.run(_ours(request, boxes.config.most.memory_mb))
    except BusyError as error:
        return sandbox_error(str(error), _NO_ROOM, {"Retry-After": str(RETRY_SECONDS)})
    except (AgentGymError, ValueError) as error:
        return sandbox_error(str(error))
    return JSONResponse(_theirs(result))


def sandbox_error(
    message: str, status: int = 200, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return an error in SandboxFusion's shape."""
    return JSONResponse(_response("SandboxError", message), status, headers)


def _ours(request: FusionRequest, memory_mb: int) -> RunRequest:
    python, wanted = request.language == "python", request.memory_limit_MB
    asked = {
        "code": request.code if python else ["bash", "-c", request.code],
        "language": "python" if python else None,
        "stdin": request.stdin or "",
        "files_out": request.fetch_files,
        "wall_seconds": request.run_timeout,
        "cpu_seconds": request.run_timeout,
        "memory_mb": max(wanted, _LEAST_MEMORY_MB) if wanted > 0 else memory_mb,
        "files": {
            path: _decoded(path, content)
            for path, content in request.files.items()
            if content is not None
        },
    }
    return RunRequest.model_validate(asked)


def _decoded(path: str, content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except ValueError:
        raise ValueError(f"files.{path}: this is not base 64") from None


def _theirs(result: ExecResult) -> dict[str, Any]:
    late = result.limit in _LATE
    run = {
        "status": "TimeLimitExceeded" if late else "Finished",
        "execution_time": result.seconds,
        "return_code": None if late else result.exit_code,
        "stdout": result.stdout,
        "stderr": result.stderr,
    }
    files = {path: base64.b64encode(data).decode() for path, data in result.files.items()}
    status = "Success" if result.ok else "Failed"
    return _response(status, "") | {"run_result": run, "files": files}


def _response(status: str, message: str) -> dict[str, Any]:
    return {
        "status": status,
        "message": message,
        "compile_result": None,
        "run_result": None,
        "executor_pod_name": None,
        "files": {},
    }
