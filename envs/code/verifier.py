"""`verified`: math-verify's verdict, from a process of its own.

math-verify keeps its time limits by signals, which only a main thread gets, and environments live
on others; and an answer such as 9^9^9^9 may hold up, or fill the memory of, whoever computes it. So
a process of this module's does nothing else, and is ended and replaced when it takes too long.
"""

import atexit
import json
import os
import selectors
import subprocess
import sys
import threading
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from typing import Any

from agentgym.errors import InfraError, MissingDependencyError

_START_SECONDS = 120.0
_VERDICT_SECONDS = 15.0
_STEP_SECONDS = 3
"""What math-verify itself allows for reading a formula, and for comparing two."""
_MOST_CHARS = 2000
_MEMORY_BYTES = 4 << 30


def check_installed() -> None:
    """Say now that math-verify is missing, if it is.

    Raises:
        MissingDependencyError: If it isn't installed.
    """
    if find_spec("math_verify") is None:
        raise MissingDependencyError("math-verify", "code")


def verified(given: str, truth: str) -> bool:
    """Return whether two answers are the same mathematics; one that can't be decided is not.

    Args:
        given: The model's answer.
        truth: The right one.

    Raises:
        InfraError: If math-verify can't be started.
    """
    if len(given) > _MOST_CHARS:
        return False
    return _verifier().ask(given, truth)


class _Verifier:
    """The process, started when it is first asked; one question at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, given: str, truth: str) -> bool:
        question = json.dumps([given, truth]).encode() + b"\n"
        with self._lock:
            # One that dies did so of this answer or by somebody else's hand; a second death tells.
            for _ in range(2):
                process = self._running()
                answer = b""
                with suppress(OSError):
                    assert process.stdin is not None
                    process.stdin.write(question)
                    process.stdin.flush()
                    answer = _line(process, _VERDICT_SECONDS)
                if answer:
                    return answer == b"true\n"
                late = process.poll() is None
                self.stop()
                if late:
                    return False
        return False

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.stop()
        check_installed()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is for us
        )
        if _line(self._process, _START_SECONDS) != b"ready\n":
            self.stop()
            raise InfraError("math-verify could not be started; does `import math_verify` work?")
        return self._process

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait(10)
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                assert pipe is not None
                pipe.close()


@cache
def _verifier() -> _Verifier:
    verifier = _Verifier()
    atexit.register(verifier.stop)
    os.register_at_fork(after_in_child=_verifier.cache_clear)  # a child has none of its own yet
    return verifier


def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """Return the next line; nothing if there is none in time."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline() if waiting.select(seconds) else b""


def _main() -> None:
    import resource

    from math_verify import (  # pyright: ignore[reportMissingImports]
        ExprExtractionConfig,
        LatexExtractionConfig,
        parse,
        verify,
    )

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints isn't taken for a verdict
    targets = [LatexExtractionConfig(), ExprExtractionConfig()]

    def read(text: str) -> list[Any]:
        as_formula = text if "$" in text or "\\boxed" in text else f"${text}$"
        options: dict[str, Any] = {"parsing_timeout": _STEP_SECONDS}
        return parse(as_formula, targets, **options) or parse(text, targets, **options)

    print("ready", file=out, flush=True)
    for line in sys.stdin:
        given, truth = json.loads(line)
        same = False
        with suppress(Exception):
            same = bool(verify(read(truth), read(given), timeout_seconds=_STEP_SECONDS))
        print("true" if same else "false", file=out, flush=True)


if __name__ == "__main__":
    _main()
