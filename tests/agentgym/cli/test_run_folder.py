"""Where a run is written, and that a command which was refused leaves nothing there."""

import os
from pathlib import Path

import pytest
import toy_envs
from tiny_runs import tiny_folder

from agentgym.cli import ExitCode, main
from agentgym.cli._run_folder import new_run, run_folder
from agentgym.errors import StoreError


def test_processes_that_start_in_one_second_get_folders_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.strftime", lambda _: "20260101-000000")
    folders: set[Path] = set()
    for process in (11, 12):
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        folders.add(run_folder(None, "eval"))
    assert len(folders) == 2
    assert {folder.parent for folder in folders} == {Path("runs")}


def test_a_given_folder_is_taken_as_it_is() -> None:
    assert run_folder(Path("here"), "eval") == Path("here")


@pytest.mark.parametrize(
    "words",
    [
        ("eval", toy_envs.COUNTER, "--policy", "random", "max_turn=3"),
        ("eval", toy_envs.COUNTER, "--policy", "random", "max_turns=[3"),
        ("eval", toy_envs.COUNTER, "--policy", "oracle"),
        ("collect", toy_envs.COUNTER, "--policy", "random", "max_turn=3"),
        ("play", toy_envs.COUNTER, "max_turn=3"),
        ("play", toy_envs.COUNTER, "--headed"),  # which has no window
        ("convert", toy_envs.COUNTER),
    ],
)
def test_a_refused_command_leaves_no_folder(words: tuple[str, ...], tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert main([*words, "--out", str(run)]) == ExitCode.USAGE
    assert not run.exists()


@pytest.mark.parametrize(
    "given", ["env.kwargs.max_turn=3", "demonstrations.runs=[nowhere]", "model.path=empty"]
)
def test_a_refused_training_leaves_no_folder(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    model, run = tiny_folder(tmp_path / "model"), tmp_path / "run"
    words = ["train", "sft", "--env", toy_envs.COUNTER, "--model", str(model), "--out", str(run)]
    assert main([*words, given]) in (ExitCode.USAGE, ExitCode.FAILED)
    assert not run.exists()


def test_a_folder_that_was_there_is_emptied_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["eval", toy_envs.COUNTER, "--policy", "random", "max_turn=3", "--out", "."]
    assert main(words) == ExitCode.USAGE
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", ["metrics.jsonl", "trajectories/writer-0000.agl"])
def test_what_a_failed_run_kept_stays(kept: str, tmp_path: Path) -> None:
    def fill_the_disk() -> None:
        with new_run(tmp_path / "run", "eval") as run:
            (run.path / kept).write_text("something")
            raise StoreError("No space left on device")

    with pytest.raises(StoreError, match="No space left"):
        fill_the_disk()
    assert (tmp_path / "run" / kept).read_text() == "something"
    assert (tmp_path / "run" / "run.json").exists()
