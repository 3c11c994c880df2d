"""`agentgym eval`: how progress is shown."""

import io
import sys
from pathlib import Path

import pytest
import toy_envs

from agentgym.cli import ExitCode, main


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def evaluate(run: Path, *words: str) -> int:
    given = ["--policy", "random", "--episodes", "2", "--out", str(run), "max_turns=3"]
    return main(["eval", toy_envs.COUNTER, *given, *words])


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
