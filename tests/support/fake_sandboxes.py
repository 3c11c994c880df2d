"""A sandbox that runs nothing: what a server does with one can be tested without any."""

import threading
from collections.abc import Sequence
from typing import Any

from agentgym.config import validate
from agentgym.errors import DataError, InfraError, UsageError
from agentgym.sandbox import ExecResult, Sandbox, SandboxSpec


class FakeSandbox(Sandbox):
    """Answers with what it was asked; `wait` runs until it is closed, `die` fails."""

    isolation = "fake"

    def __init__(self, spec: SandboxSpec) -> None:
        super().__init__(spec)
        self.files = dict(spec.files)
        self.running, self.closed = threading.Event(), threading.Event()

    def _python(
        self, source: str, stdin: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        if self.closed.is_set():
            raise UsageError("The sandbox is closed")
        if source == "die":
            raise InfraError("The sandbox has died")
        if source == "wait":
            self.running.set()
            self.closed.wait(20)
            raise InfraError("The sandbox has died")
        said = f"{source}|{stdin.decode()}|{seconds:g}"
        return ExecResult(said, "", 0, 0.001, isolation=self.isolation)

    def _command(
        self, argv: list[str], stdin: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        return self._python(" ".join(argv), stdin, seconds, files_out)

    def put(self, path: str, data: bytes | str) -> None:
        self.files[path] = data

    def get(self, path: str, *, most_bytes: int = 1 << 24) -> bytes:
        if path not in self.files:
            raise DataError(f"{path}: there is no such file")
        data = self.files[path]
        data = data.encode() if isinstance(data, str) else data
        if len(data) > most_bytes:
            raise DataError(f"{path} has {len(data)} bytes, more than {most_bytes}")
        return data

    def close(self) -> None:
        self.closed.set()


class FakeBackend:
    """Makes fake sandboxes in the place of `make_sandbox`, and remembers them."""

    def __init__(self) -> None:
        self.made: list[FakeSandbox] = []

    def __call__(self, name: str, **options: Any) -> FakeSandbox:
        self.made.append(FakeSandbox(validate(SandboxSpec, options)))
        return self.made[-1]
