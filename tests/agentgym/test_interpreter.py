"""What a model reads of the code that it runs."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.interpreter import Interpreter, clipped
from agentgym.sandbox import ExecResult, Limit, Sandbox, SandboxSpec


class Told(Sandbox):
    """A sandbox that answers what it was told to, and remembers what it was given."""

    def __init__(self, *, stateful: bool = False, **result: Any) -> None:
        super().__init__(SandboxSpec(stateful=stateful))
        self.result = ExecResult(
            **{"stdout": "", "stderr": "", "exit_code": 0, **result}, seconds=0
        )
        self.source = ""

    def _python(
        self, source: str, stdin: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        self.source = source
        return self.result

    def _command(self, *_: Any) -> ExecResult:
        raise NotImplementedError

    def put(self, path: str, data: bytes | str) -> None:
        raise NotImplementedError

    def get(self, path: str, *, most_bytes: int = 0) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        pass


TRACE = 'Traceback (most recent call last):\n  File "main.py", line 1\nZeroDivisionError: by zero\n'


@pytest.mark.parametrize(
    ("result", "text", "ok"),
    [
        ({"stdout": "1\n2\n"}, "1\n2", True),
        ({"stdout": "1\n", "value": "3"}, "1\n3", True),
        ({"stderr": TRACE, "exit_code": 1}, TRACE.rstrip(), False),
        ({"exit_code": 3}, "Ended with exit code 3.", False),
        ({"exit_code": -11}, "Ended by signal 11.", False),
        ({"limit": Limit.WALL, "stdout": "a"}, "a\nStopped: it ran for longer than 10 s.", False),
        (
            {"limit": Limit.WALL, "state_lost": True},
            "Stopped: it ran for longer than 10 s. All names are lost.",
            False,
        ),
        ({}, "", True),
    ],
)
def test_the_text_is_what_a_notebook_would_show(
    result: dict[str, Any], text: str, ok: bool
) -> None:
    output = Interpreter(Told(**result)).run("…")
    assert (output.text, output.ok) == (text, ok)


def test_an_error_can_be_its_last_line_alone() -> None:
    told = Told(stderr=TRACE, exit_code=1, stdout="before\n")
    assert Interpreter(told, traceback=False).run("").text == "before\nZeroDivisionError: by zero"


@pytest.mark.parametrize(
    "source",
    ["1 +", "x = 1", "", "\0", "for i in []: i", "(" * 100_000, "-" * 100_000 + "1", "def f(): 1"],
)
def test_a_source_without_a_last_expression_is_run_as_it_is(source: str) -> None:
    told = Told()
    Interpreter(told).run(source)
    assert told.source == source


@given(st.text() | st.sampled_from(["a=1; a", "'é'; (1 +\n2)  # so", "x\r\ny", "a\x0cb", "\ud800"]))
def test_any_text_can_be_run_and_only_a_line_is_added(source: str) -> None:
    told = Told()
    Interpreter(told).run(source)
    assert told.source.count("\n") <= source.count("\n") + 1
    told.source.encode()


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        ("6 * 7", "42\n"),
        ("a = 2; a", "2\n"),
        ("'é'; (1 +\n2)  # so", "3\n"),
        ("print(1)", "1\n"),
        ("None", ""),
        ("'text'", "'text'\n"),
        ("1, 2", "(1, 2)\n"),
    ],
)
def test_the_last_expression_is_shown(
    source: str, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Told()
    Interpreter(told).run(source)
    exec(told.source, {})
    assert capsys.readouterr().out == printed


def test_looking_for_it_says_nothing_to_the_user() -> None:
    # In a process of its own, since pytest sets its own filters.
    source = "from agentgym.interpreter import _showing_last; print(_showing_last('1if 1 else 2'))"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("_ = 1if 1 else 2")
    assert done.stderr == ""


def test_it_need_not_be_shown_and_a_stateful_box_shows_it_itself() -> None:
    for told, options in ((Told(), {"show_last": False}), (Told(stateful=True), {})):
        Interpreter(told, **options).run("6 * 7")
        assert told.source == "6 * 7"
    assert Interpreter(Told(value="3"), show_last=False).run("3").text == ""


def test_a_long_text_keeps_head_and_tail() -> None:
    text = clipped("a" * 1000 + "b" * 1000, 100)
    assert text.startswith("a" * 50 + "\n[… 1900 characters are left out here …]\n")
    assert text.endswith("b" * 50)
    assert clipped("abc", 3) == "abc"
