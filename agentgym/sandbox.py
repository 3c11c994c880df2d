"""Sandboxes: where code that a model wrote runs. `make_sandbox` gives one of type `Sandbox`.

A sandbox is a box with a working directory, a user without rights, and limits. `exec` runs source
or a command in it and tells what came of it. A limit ends the program and is named in the result;
what the program did wrong is its exit code and its stderr. Only what the sandbox itself fails at is
an exception: `InfraError`, which an episode is retried for and a model never blamed for.

    with agentgym.make_sandbox("bubblewrap", wall_seconds=5, memory_mb=256) as box:
        print(box.exec("print(6 * 7)", language="python").stdout)
        print(box.exec(["ls", "-l"]).stdout)

Backends are named by the entry-point group `agentgym.sandboxes`.
"""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Self, TypeVar

from pydantic import Field, field_validator

from agentgym.config import Config, validate
from agentgym.destinations import Network
from agentgym.errors import DataError, UsageError
from agentgym.registry import sandboxes

__all__ = ["ExecResult", "Limit", "Sandbox", "SandboxSpec", "make_sandbox", "sandbox_maker"]


T = TypeVar("T")

_DAY = 86400.0


class Limit(StrEnum):
    """What ended a program, or what it ran into."""

    WALL = "wall_seconds"
    CPU = "cpu_seconds"
    MEMORY = "memory_mb"
    PROCESSES = "processes"
    DISK = "disk_mb"


class SandboxSpec(Config):
    """What a box may use; the same for every backend."""

    image: str | None = Field(
        default=None,
        description="a Docker image, or the folder of a root file system; None: the backend's",
    )
    wall_seconds: float = Field(default=10.0, gt=0, le=_DAY, description="of one exec")
    cpu_seconds: float = Field(
        default=10.0, gt=0, le=_DAY, description="of one process, rounded up"
    )
    memory_mb: int = Field(default=512, ge=16, description="MiB of one process's address space")
    processes: int = Field(default=32, ge=1, description="processes and threads at once")
    disk_mb: int = Field(default=64, ge=1, description="MiB that the box's files may take")
    output_bytes: int = Field(default=65536, ge=0, description="kept of stdout and of stderr, each")
    env: dict[str, str] = Field(default_factory=dict)
    files: dict[str, bytes | str] = Field(
        default_factory=dict, description="files in the working directory, by path"
    )
    modules: tuple[str, ...] = Field(
        default=(),
        description="Python modules that are imported beforehand, so that no exec waits for them",
    )
    stateful: bool = Field(
        default=False,
        description="Python source runs in one namespace, cell after cell, as in a notebook",
    )

    network: Network = Field(
        default=(),
        description="what programs may reach: host, host:port or *.example.org; nothing by default",
    )

    @field_validator("env")
    @classmethod
    def _can_be_passed(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if not name or "=" in name or "\0" in name + value:
                raise ValueError(f"{name!r} can't be an environment variable, or not of this value")
        return {_utf8(name): _utf8(value) for name, value in env.items()}

    @field_validator("modules")
    @classmethod
    def _can_be_imported(cls, modules: tuple[str, ...]) -> tuple[str, ...]:
        for name in modules:
            if not all(part.isidentifier() for part in name.split(".")):
                raise ValueError(f"{name!r} is no module's name")
        return modules


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What came of an exec.

    Attributes:
        stdout: What it printed, the first `output_bytes` of it; what is no UTF-8 is replaced.
        stderr: The same of its error stream.
        exit_code: Its exit status, or minus the signal that ended it, as in `subprocess`.
        seconds: How long it took.
        cpu_seconds: CPU time of its processes that it waited for; 0 in a stateful box.
        limit: The limit that ended it or that its last error comes from; None if there was none.
            Wall and CPU time are measured, and that the kernel killed for want of memory. That an
            error comes from memory, processes or the disk is otherwise what Python code says of
            itself, true or not; a command that runs out of them fails in its own way.
        dropped: Bytes of stdout and of stderr beyond the limit.
        value: The last expression's value as a notebook shows it, the first `output_bytes` of it;
            None outside stateful boxes.
        figures: PNG images that it drew with matplotlib; in stateful boxes only.
        files: The files that were asked for and are there.
        isolation: How it was kept apart; "none" says that it was not.
        state_lost: Whether the namespace of a stateful box is gone.
    """

    stdout: str
    stderr: str
    exit_code: int
    seconds: float
    cpu_seconds: float = 0.0
    limit: Limit | None = None
    dropped: tuple[int, int] = (0, 0)
    value: str | None = None
    figures: tuple[bytes, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    isolation: str = ""
    state_lost: bool = False

    @property
    def ok(self) -> bool:
        """Whether it ran to its end without an error."""
        return self.exit_code == 0 and self.limit is None

    @property
    def truncated(self) -> bool:
        """Whether output was dropped."""
        return any(self.dropped)


class Sandbox(ABC):
    """One box. Its execs run one after the other, whoever asks.

    Args:
        spec: What it may use.
    """

    def __init__(self, spec: SandboxSpec) -> None:
        self.spec = spec

    @property
    def notes(self) -> tuple[str, ...]:
        """What this machine makes of the backend's promises, in sentences for people to read."""
        return ()

    def exec(
        self,
        code: str | Sequence[str],
        *,
        language: str | None = None,
        stdin: str | bytes = b"",
        wall_seconds: float | None = None,
        files_out: Sequence[str] = (),
    ) -> ExecResult:
        """Run source or a command.

        Args:
            code: Source, or a command and its arguments.
            language: Of the source: "python" (the default) or "sh".
            stdin: What it reads.
            wall_seconds: A limit for this exec, in the place of the box's.
            files_out: Paths of files that are wanted afterwards.

        Raises:
            UsageError: If there is no such language, the time is none, or the sandbox is closed.
            InfraError: If the sandbox failed.
        """
        data = stdin.encode("utf-8", "replace") if isinstance(stdin, str) else stdin
        seconds = self.spec.wall_seconds if wall_seconds is None else wall_seconds
        if not 0 < seconds <= _DAY:
            raise UsageError(f"wall_seconds is more than 0 and at most {_DAY:g}; got {seconds}")
        if not isinstance(code, str):
            return self._command([_utf8(word) for word in code], data, seconds, files_out)
        code = _utf8(code)
        if language in (None, "python"):
            return self._python(code, data, seconds, files_out)
        if language == "sh":
            return self._command(["sh", "-c", code], data, seconds, files_out)
        raise UsageError(f"No language {language!r}; known are python and sh")

    @abstractmethod
    def _python(
        self, source: str, stdin: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        """Run Python source."""

    @abstractmethod
    def _command(
        self, argv: list[str], stdin: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        """Run a command."""

    @abstractmethod
    def put(self, path: str, data: bytes | str) -> None:
        """Write a file; folders on the way are made.

        Args:
            path: In the working directory, or absolute inside the box.
            data: Its content.

        Raises:
            DataError: If it can't be written, such as where the disk is full.
            InfraError: If the sandbox failed.
        """

    @abstractmethod
    def get(self, path: str, *, most_bytes: int = 1 << 24) -> bytes:
        """Read a file.

        Args:
            path: In the working directory, or absolute inside the box.
            most_bytes: A larger file is an error.

        Raises:
            DataError: If there is no ordinary file, or it is too large.
            InfraError: If the sandbox failed.
        """

    def wanted(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Return the files that are there, of those asked for."""
        found: dict[str, bytes] = {}
        for path in paths:
            with suppress(DataError):
                found[path] = self.get(path)
        return found

    @abstractmethod
    def close(self) -> None:
        """End everything that runs in the box and drop its files; may be called more than once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._beside(self.close)

    async def aexec(self, code: str | Sequence[str], **options: Any) -> ExecResult:
        """Do as `exec` does, while other tasks go on."""
        return await self._beside(partial(self.exec, code, **options))

    async def _beside(self, function: Callable[[], T]) -> T:
        # A thread of its own: asyncio's are few, where slow code is common, and a pool's would have
        # to end before the interpreter can.
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                settle = partial(_settle, done.set_result, function())
            except BaseException as fault:
                settle = partial(_settle, done.set_exception, fault)
            with suppress(RuntimeError):  # of a loop that is closed
                loop.call_soon_threadsafe(settle)

        def _settle(settle: Callable[[Any], None], outcome: Any) -> None:
            if not done.done():  # as it is where whoever waited was cancelled
                settle(outcome)

        threading.Thread(target=run, name="agentgym-sandbox", daemon=True).start()
        return await done


def _utf8(text: str) -> str:
    """Return text that can be encoded: half a surrogate pair is no character."""
    return text.encode("utf-8", "replace").decode()


def make_sandbox(name: str = "bubblewrap", **options: Any) -> Sandbox:
    """Make a sandbox.

    Args:
        name: A backend, as `agentgym doctor` lists them.
        **options: Fields of `SandboxSpec`, and what the backend takes besides.

    Raises:
        UnknownNameError: If there is no such backend.
        ConfigError: If an option is unknown or out of range.
        InfraError: If the machine can't run it; `agentgym doctor sandbox` says why.
    """
    return sandbox_maker(name, **options)()


def sandbox_maker(name: str = "bubblewrap", **options: Any) -> Callable[[], Sandbox]:
    """Return what makes sandboxes of one kind; what is wrong with the options is said now.

    Args:
        name: A backend.
        **options: As of `make_sandbox`.

    Raises:
        UnknownNameError: If there is no such backend.
        ConfigError: If an option is unknown or out of range.
    """
    backend = sandboxes.load(name)
    own = {key: options.pop(key) for key in getattr(backend, "options", ()) if key in options}
    spec = validate(SandboxSpec, options)
    return partial(backend, spec, **own)
