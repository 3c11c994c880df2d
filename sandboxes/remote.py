"""`Remote`: a box on another machine, lent by `agentgym serve sandbox`.

    with agentgym.make_sandbox("remote", url="http://127.0.0.1:8080", wall_seconds=5) as box:
        print(box.exec("print(6 * 7)").stdout)

The box is opened when it is first used, so that making one waits for nobody: a thousand episodes
can begin on one event loop. `aexec` waits without a thread; when it is cancelled, the server ends
what runs and the box with it.
"""

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic import ValidationError

from agentgym.errors import InfraError, UsageError
from agentgym.sandbox import ExecResult, Sandbox, SandboxSpec
from agentgym.sandboxes.lender import Call, Lender, Patience
from agentgym.server.messages import BoxRequest, ExecAnswer, Opened, to_wire

_OPEN_SECONDS = 120.0
_FILE_SECONDS = 30.0
_CLOSE_SECONDS = 5.0


@dataclass(slots=True)
class _OnLoop:
    """What belongs to one event loop."""

    loop: asyncio.AbstractEventLoop
    client: httpx.AsyncClient
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)


class Remote(Sandbox):
    """A box that a server lends.

    Args:
        spec: What it may use; once the box is open, what the server granted of it.
        url: The server's.
        token: What it asks for; AGENTGYM_TOKEN by default.
        busy_seconds: How long it is asked again while it has no room.

    Raises:
        UsageError: If the URL is none.
    """

    options = ("url", "token", "busy_seconds")

    def __init__(
        self,
        spec: SandboxSpec,
        *,
        url: str = "",
        token: str | None = None,
        busy_seconds: float = 60.0,
    ) -> None:
        super().__init__(spec)
        self._lender = Lender(url, token or os.environ.get("AGENTGYM_TOKEN"))
        self._busy_seconds = busy_seconds
        self._lock = threading.Lock()
        self._opened: Opened | None = None
        self._closed = False
        self._client: httpx.Client | None = None
        self._on_loop: _OnLoop | None = None

    def _python(
        self, source: str, stdin: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        return self._exec(source, "python", stdin, seconds, files_out)

    def _command(
        self, argv: list[str], stdin: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        return self._exec(argv, None, stdin, seconds, files_out)

    def _exec(
        self,
        code: str | list[str],
        language: str | None,
        stdin: bytes,
        seconds: float,
        files_out: Sequence[str],
    ) -> ExecResult:
        opened, client = self._open()
        call = self._exec_call(opened, code, language, stdin, seconds, files_out)
        return self._result(opened, self._ask(client, call))

    async def aexec(
        self,
        code: str | Sequence[str],
        *,
        language: str | None = None,
        stdin: str | bytes = b"",
        wall_seconds: float | None = None,
        files_out: Sequence[str] = (),
        **options: Any,
    ) -> ExecResult:
        """Do as `exec` does, while other tasks go on."""
        if options:
            raise UsageError(f"aexec takes what exec takes, and no {', '.join(options)}")
        seconds = self.spec.wall_seconds if wall_seconds is None else wall_seconds
        opened, client = await self._aopen()
        call = self._exec_call(opened, code, language, stdin, seconds, files_out)
        return self._result(opened, await self._aask(client, call))

    def put(self, path: str, data: bytes | str) -> None:
        """Write a file; see `Sandbox.put`."""
        content = data.encode() if isinstance(data, str) else data
        opened, client = self._open()
        self._ask(client, self._file_call("PUT", opened, {"path": path}, content))

    def get(self, path: str, *, most_bytes: int = 1 << 24) -> bytes:
        """Read a file; see `Sandbox.get`. The server may have a lower limit of its own."""
        opened, client = self._open()
        query = {"path": path, "most_bytes": str(most_bytes)}
        return self._ask(client, self._file_call("GET", opened, query)).content

    def close(self) -> None:
        """Close the box; see `Sandbox.close`. A server that doesn't hear of it finds it idle."""
        with self._lock:  # a box that is just being opened is closed, too
            opened, client, on_loop = self._leave()
        if opened is not None:
            client = client or self._lender.client(httpx.Client)
            with suppress(httpx.HTTPError):
                client.request(**self._close_call(opened).arguments())
        if client is not None:
            client.close()
        if on_loop is not None and on_loop.loop.is_running():
            asyncio.run_coroutine_threadsafe(on_loop.client.aclose(), on_loop.loop)

    async def __aexit__(self, *_: object) -> None:
        """Close the box, while other tasks go on."""
        here = self._here()
        async with here.opening:
            opened, client = self._leave()[:2]
        try:
            if opened is not None:
                with suppress(httpx.HTTPError):
                    await here.client.request(**self._close_call(opened).arguments())
        finally:
            await here.client.aclose()
            if client is not None:
                client.close()

    # Opening and leaving.

    def _open(self) -> tuple[Opened, httpx.Client]:
        with self._lock:  # so that whoever comes first opens the box, and others find it open
            self._check_open()
            client = self._client = self._client or self._lender.client(httpx.Client)
            if self._opened is None:
                self._note(self._ask(client, self._open_call()))
            assert self._opened is not None
            return self._opened, client

    async def _aopen(self) -> tuple[Opened, httpx.AsyncClient]:
        here = self._here()
        async with here.opening:
            self._check_open()
            if self._opened is None:
                self._note(await self._aask(here.client, self._open_call()))
            assert self._opened is not None
            return self._opened, here.client

    def _here(self) -> _OnLoop:
        loop = asyncio.get_running_loop()
        here = self._on_loop
        if here is None or here.loop is not loop:
            here = self._on_loop = _OnLoop(loop, self._lender.client(httpx.AsyncClient))
        return here

    def _note(self, answer: httpx.Response) -> None:
        try:
            opened = Opened.model_validate_json(answer.content)
        except ValidationError as fault:
            raise InfraError(f"{self._lender.url} is no sandbox server of ours") from fault
        self._opened = opened
        self.spec = SandboxSpec.model_validate(dict(self.spec) | opened.limits)

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("The sandbox is closed; make another one")

    def _leave(self) -> tuple[Opened | None, httpx.Client | None, _OnLoop | None]:
        self._closed = True
        left = self._opened, self._client, self._on_loop
        self._opened = self._client = self._on_loop = None
        return left

    # Requests and answers.

    def _ask(self, client: httpx.Client, call: Call) -> httpx.Response:
        patience = Patience(self._busy_seconds)
        while True:
            with self._lender.reached():
                answer = client.request(**call.arguments())
            delay = patience.delay(answer)
            if delay is None:
                return self._lender.checked(answer)
            time.sleep(delay)

    async def _aask(self, client: httpx.AsyncClient, call: Call) -> httpx.Response:
        patience = Patience(self._busy_seconds)
        while True:
            with self._lender.reached():
                answer = await client.request(**call.arguments())
            delay = patience.delay(answer)
            if delay is None:
                return self._lender.checked(answer)
            await asyncio.sleep(delay)

    def _open_call(self) -> Call:
        return Call.posting("/v1/boxes", BoxRequest.of(self.spec), _OPEN_SECONDS)

    def _exec_call(
        self,
        opened: Opened,
        code: str | Sequence[str],
        language: str | None,
        stdin: str | bytes,
        seconds: float,
        files_out: Sequence[str],
    ) -> Call:
        body = {
            "code": _text(code) if isinstance(code, str) else [_text(word) for word in code],
            "language": language,
            "stdin": to_wire(stdin),
            "wall_seconds": seconds,
            "files_out": list(files_out),
        }
        longest = seconds + opened.answer_seconds
        return Call.posting(f"/v1/boxes/{opened.id}/exec", body, longest)

    def _file_call(
        self, method: str, opened: Opened, query: dict[str, str], content: bytes = b""
    ) -> Call:
        longest = _FILE_SECONDS + opened.answer_seconds
        return Call(method, f"/v1/boxes/{opened.id}/files", longest, query, content)

    def _close_call(self, opened: Opened) -> Call:
        return Call("DELETE", f"/v1/boxes/{opened.id}", _CLOSE_SECONDS)

    def _result(self, opened: Opened, answer: httpx.Response) -> ExecResult:
        # "none" stays what it is: nothing keeps the code from the machine that it runs on.
        there = opened.isolation
        isolation = there if there == "none" else f"remote: {there}"
        try:
            return ExecAnswer.result(answer.content, isolation)
        except ValidationError as fault:
            raise InfraError(f"{self._lender.url} answered what is no result") from fault


def _text(code: str) -> str:
    """Return code as UTF-8 can carry it, which a model's need not be."""
    return code.encode("utf-8", "replace").decode()
