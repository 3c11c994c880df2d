"""A request that can't be carried out is one line on standard error, and exit code 2."""

from pathlib import Path

import pytest
import toy_envs

from agentgym.cli import ExitCode, main


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a request that is wrong and return what was said of it."""
    assert main([*words]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("agentgym: ")
    return line


SHARED = [
    ("--episodes", "0"),
    ("--seed", "-1"),
    ("--concurrency", "0"),
    ("--temperature", "-1"),
    ("--max-tokens", "0"),
]


@pytest.mark.parametrize(
    ("verb", "option", "value"),
    [
        *(("eval", *pair) for pair in SHARED),
        *(("collect", *pair) for pair in SHARED),
        ("collect", "--group-size", "0"),
    ],
)
def test_a_number_out_of_range(
    verb: str, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, verb, toy_envs.COUNTER, "--policy", "random", option, value)
    assert option in line
    assert "not in the range" in line


@pytest.mark.parametrize(
    "words",
    [
        ("play", toy_envs.COUNTER, "--seed", "-1"),
        ("demo", "--seed", "-1"),
        ("model", "tiny", "model", "--seed", "-1"),
        ("model", "tiny", "model", "--episodes", "0"),
    ],
)
def test_a_number_out_of_range_of_another_verb(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "not in the range" in refused(capsys, *words)
