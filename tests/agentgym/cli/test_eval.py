"""`agentgym eval`: how options reach the environment, and how progress is shown."""

import io
import sys
from pathlib import Path

import pytest
import toy_envs

from agentgym.cli import ExitCode, main
from agentgym.store import Store


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def evaluate(run: Path, *words: str) -> int:
    given = ["--policy", "random", "--episodes", "2", "--out", str(run), "max_turns=3"]
    return main(["eval", toy_envs.COUNTER, *given, *words])


@pytest.mark.parametrize(("words", "told"), [([], True), (["instructions="], False)])
def test_an_empty_option_is_the_empty_text(tmp_path: Path, words: list[str], told: bool) -> None:
    assert evaluate(tmp_path / "run", *words) is ExitCode.OK
    instructions = [trajectory.instructions for trajectory in Store.open(tmp_path / "run")]
    assert [bool(text) for text in instructions] == [told, told]


def test_an_empty_option_that_is_no_text_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tmp_path / "run", "max_turns=") is ExitCode.USAGE
    assert "max_turns must be a whole number" in capsys.readouterr().err


@pytest.mark.parametrize("quiet", [True, False])
def test_quiet_shows_lines_where_there_would_be_a_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert evaluate(tmp_path / "run", *["--quiet"] * quiet) is ExitCode.OK
    shown = terminal.getvalue()
    assert ("\x1b" not in shown) is quiet
    assert ("eval 2/2  success" in shown) is quiet
