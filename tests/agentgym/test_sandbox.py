"""What every backend is given: a spec that holds, text that can be encoded, time that is some."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from agentgym.errors import ConfigError, UsageError
from agentgym.sandbox import ExecResult, Sandbox, SandboxSpec, make_sandbox


class Echo(Sandbox):
    """Answers with what it was given, once it may."""

    def __init__(self) -> None:
        super().__init__(SandboxSpec())
        self.may = threading.Event()
        self.closed = threading.Event()

    def _python(
        self, source: str, stdin: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        self.may.wait(10)
        return ExecResult(source, stdin.decode(), 0, seconds)

    def _command(
        self, argv: list[str], stdin: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        return ExecResult(" ".join(argv), stdin.decode(), 0, seconds)

    def put(self, path: str, data: bytes | str) -> None:
        raise NotImplementedError

    def get(self, path: str, *, most_bytes: int = 1 << 24) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"wall_seconds": float("inf")}, "wall_seconds"),
        ({"wall_seconds": 3e6}, "wall_seconds"),
        ({"wall_seconds": float("nan")}, "wall_seconds"),
        ({"cpu_seconds": float("inf")}, "cpu_seconds"),
        ({"env": {"A=B": "1"}}, "'A=B' can't be an environment variable"),
        ({"env": {"": "1"}}, "'' can't be an environment variable"),
        ({"env": {"A": "a\0b"}}, "'A' can't be an environment variable"),
        ({"modules": ("os", "--help")}, "'--help' is no module's name"),
        ({"modules": ("a\0b",)}, "is no module's name"),
    ],
)
def test_a_spec_that_can_t_hold_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_sandbox(**options)


def test_an_environment_can_be_encoded() -> None:
    assert SandboxSpec(env={"A": "x\ud800"}).env == {"A": "x?"}


@pytest.mark.parametrize("seconds", [-10, 0, float("nan"), float("inf"), 1e6])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="wall_seconds is more than 0"):
        Echo().exec("1", wall_seconds=seconds)


def test_half_a_character_is_replaced() -> None:
    box = Echo()
    box.may.set()
    assert box.exec("a\ud800b", stdin="c\udfffd").stdout == "a?b"
    assert box.exec("a", stdin="c\udfffd").stderr == "c?d"
    assert box.exec(["a", "\ud800"]).stdout == "a ?"
    assert box.exec("\ud800", language="sh").stdout == "sh -c ?"


def test_an_exec_beside_others_tells_what_it_raised() -> None:
    async def ask() -> None:
        await Echo().aexec("1", wall_seconds=-1)

    with pytest.raises(UsageError, match="wall_seconds"):
        asyncio.run(ask())


def test_many_execs_wait_at_once() -> None:
    async def ask() -> list[ExecResult]:
        boxes = [Echo() for _ in range(300)]
        asked = asyncio.gather(*(box.aexec(str(n)) for n, box in enumerate(boxes)))
        await asyncio.sleep(0)
        for box in reversed(boxes):
            box.may.set()
        return await asked

    assert [result.stdout for result in asyncio.run(ask())] == [str(n) for n in range(300)]


def test_a_cancelled_exec_keeps_nobody_waiting() -> None:
    box = Echo()

    async def leave() -> None:
        async with box:
            await asyncio.wait_for(box.aexec("1"), 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(leave())
    assert box.closed.is_set()
    assert all(t.daemon for t in threading.enumerate() if t.name == "agentgym-sandbox")
    box.may.set()
