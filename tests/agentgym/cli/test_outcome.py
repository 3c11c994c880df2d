"""Episodes that failed: what is said of them, and the exit code."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toy_envs
from store_cases import episode

from agentgym.backoff import Backoff
from agentgym.cli import ExitCode, main
from agentgym.cli._outcome import outcome
from agentgym.errors import InfraError, StoreError
from agentgym.evaluation import Evaluation
from agentgym.stop_reason import StopReason
from agentgym.store import Store, StoreWriter
from agentgym.trajectory import Trajectory

Run = Callable[..., int]


def raises(fault: Exception) -> Callable[..., Any]:
    def broken(*_: object) -> Any:
        raise fault

    return broken


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run two episodes with a recording of one action that solves nothing."""
    recording = tmp_path / "recording.txt"
    recording.write_text("say hello\n")

    def run(verb: str) -> int:
        given = ["--policy", f"replay:{recording}", "--episodes", "2", "--quiet"]
        return main([verb, toy_envs.COUNTER, *given, "--out", str(tmp_path / "run")])

    return run


@pytest.mark.parametrize("verb", ["eval", "collect"])
@pytest.mark.parametrize(
    ("broken", "fault", "error"),
    [
        (None, None, "generate: PolicyError: The recording has 1 actions"),
        ("_act", RuntimeError("a bug"), "step: EnvError: toy/Counter-v0 raised in step:"),
        ("_begin", InfraError("no mood could be had"), "reset: InfraError: no mood could be had"),
    ],
)
def test_where_every_episode_failed_the_commonest_error_is_said(
    verb: str,
    broken: str | None,
    fault: Exception | None,
    error: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if broken is not None and fault is not None:
        monkeypatch.setattr(toy_envs.Counter, broken, raises(fault))
    monkeypatch.setattr(Backoff, "seconds", lambda *_: 0.0)
    assert run(verb) is ExitCode.FAILED
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"agentgym: 2 of 2 episodes failed, 2 of them with: {error}")
    assert len(Store.open(tmp_path / "run")) == 2


def ended(reason: StopReason, error: str | None = None) -> Trajectory:
    return Trajectory("toy/Counter-v0", "task", reason, [], error=error)


def test_where_some_failed_it_is_said_and_the_others_count(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = Evaluation.of(
        [
            ended(StopReason.SUCCESS),
            ended(StopReason.INFRA_ERROR, "step: it hung"),
            ended(StopReason.ENV_ERROR, "reset: a bug\n  in line 3"),
            ended(StopReason.TURN_LIMIT),
            ended(StopReason.ENV_ERROR, "reset: a bug\n  in line 3"),
        ]
    )
    assert list(result.errors.values()) == [2, 1]
    assert outcome(result) is ExitCode.OK
    said = "agentgym: 3 of 5 episodes failed, 2 of them with: reset: a bug in line 3\n"
    assert capsys.readouterr().err == said


def test_where_none_failed_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(Evaluation.of([ended(StopReason.FAILURE)])) is ExitCode.OK
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("typed", "code"), [("/quit\n", ExitCode.OK), ("", ExitCode.OK), ("say x\n", ExitCode.FAILED)]
)
def test_a_player_may_leave_and_an_environment_may_not_break(
    typed: str, code: ExitCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    monkeypatch.setattr(toy_envs.Counter, "_act", raises(RuntimeError("a bug")))
    assert main(["play", toy_envs.COUNTER, "--out", str(tmp_path / "run")]) is code


@pytest.mark.parametrize("verb", ["eval", "collect"])
def test_a_full_disk_is_no_wrong_request(
    verb: str, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(StoreWriter, "add", raises(StoreError("No space left on device")))
    assert run(verb) is ExitCode.FAILED
    assert capsys.readouterr().err == "agentgym: StoreError: No space left on device\n"


def test_a_store_that_fails_is_no_wrong_request_and_a_wrong_folder_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["export", str(tmp_path / "run"), str(tmp_path / "out.jsonl")]
    assert main(words) is ExitCode.USAGE
    (tmp_path / "run").mkdir()
    assert main(words) is ExitCode.USAGE
    with Store.writer(tmp_path / "run") as writer:
        writer.add(episode(0))
    assert main(words) is ExitCode.OK
    monkeypatch.setattr(Store, "summaries", raises(StoreError("Input/output error")))
    assert main(words) is ExitCode.FAILED
