"""A request that can't be carried out is one line on standard error, and exit code 2."""

from pathlib import Path

import pytest
import toy_envs
from store_cases import episode

from agentgym.cli import ExitCode, main
from agentgym.store import Store


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
        ("convert", toy_envs.COUNTER, "--first", "-1"),
        ("convert", toy_envs.COUNTER, "--episodes", "0"),
        ("demo", "--seed", "-1"),
        ("model", "tiny", "model", "--seed", "-1"),
        ("model", "tiny", "model", "--episodes", "0"),
    ],
)
def test_a_number_out_of_range_of_another_verb(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "not in the range" in refused(capsys, *words)


@pytest.mark.parametrize("verb", ["eval", "collect"])
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--policy", "random:abc"), "A seed is a whole number, got 'abc'"),
        (("--policy", "ranom"), "did you mean 'random'?"),
        (("--policy", "random", "max_turns=2024-13-45"), "max_turns: '2024-13-45' is no value"),
        (("--policy", "random", "max_turn=3"), "did you mean 'max_turns'?"),
    ],
)
def test_a_policy_or_an_option_that_is_none(
    verb: str, words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(capsys, verb, toy_envs.COUNTER, *words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("envs", "CartPole-v1"), "registered with Gymnasium and not with agentgym"),
        (("envs", "CartPole-v77"), "There is no environment 'CartPole-v77'"),
        (("eval", "CartPole-v1", "--policy", "random"), "needs observations with text"),
        (("collect", "CartPole-v1", "--policy", "random"), "needs observations with text"),
        (("check", toy_envs.COUNTER, "visul=true"), "did you mean 'visual'?"),
    ],
)
def test_an_environment_that_does_not_suit(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(capsys, *words)


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">="])
def test_null_is_in_no_order(sign: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.writer(tmp_path / "run") as writer:
        writer.add(episode(1))
    line = refused(capsys, "export", "run", "out.jsonl", f"seed{sign}null")
    assert f"'seed{sign}null': null is in no order" in line
    assert main(["export", "run", "out.jsonl", "seed!=null"]) == ExitCode.OK
