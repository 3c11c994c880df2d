"""Where a run is written when nobody says."""

import os
from pathlib import Path

import pytest

from agentgym.cli._rollout_options import run_folder


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
