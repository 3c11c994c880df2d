"""Progress: lines for logs, a bar for terminals, and figures that are right."""

import io
import re

import pytest

from agentgym.progress import Display, EpisodeProgress, Progress
from agentgym.stop_reason import StopReason
from agentgym.trajectory import Trajectory, Turn


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def episode(reason: StopReason, turns: int = 2) -> Trajectory:
    played = [Turn("o", "a") for _ in range(turns)]
    return Trajectory("x", "t", reason, played, success=reason is StopReason.SUCCESS)


def test_lines_come_now_and_then_and_at_the_end() -> None:
    out = io.StringIO()
    with Progress(100, "work", stream=out, every=60) as progress:
        for done in range(1, 101):
            progress(done, {"loss/policy": 0.12345, "tokens/s": 12345.6})
    assert out.getvalue().splitlines() == [
        "work 1/100  loss/policy 0.123  tokens/s 12346",
        "work 100/100  loss/policy 0.123  tokens/s 12346",
    ]


def test_off_is_silent() -> None:
    out = Terminal()
    with Progress(1, "work", stream=out, display=Display.OFF) as progress:
        progress(1, {})
    assert out.getvalue() == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with Progress(3, "work", stream=out) as progress:
        progress(3, {"success": 0.5})
    assert "3/3" in out.getvalue()
    assert "success 0.5" in out.getvalue()


def test_faults_are_counted_beside_success_and_not_in_it() -> None:
    out = io.StringIO()
    with EpisodeProgress(4, stream=out, every=60) as progress:
        for reason in ("success", "failure", "infra_error", "success"):
            progress(episode(StopReason(reason)))
    assert progress.figures["success"] == pytest.approx(2 / 3)
    assert progress.figures["infra_error"] == 1
    assert "policy_error" not in progress.figures
    last = out.getvalue().splitlines()[-1]
    assert re.fullmatch(
        r"episodes 4/4  success 0.667  episodes/s \S+  turns/s \S+  infra_error 1", last
    )
