"""Solutions are played, and what doesn't end well is left out and accounted for."""

import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest
import toy_envs
from chat_endpoints import Answer, chat_endpoint
from scripted_envs import SOLVED, Solved

from agentgym.backoff import Backoff
from agentgym.cli import ExitCode, main
from agentgym.conversion import LeftOut, convert
from agentgym.errors import InfraError, UsageError
from agentgym.message import Message
from agentgym.progress import Display
from agentgym.rollout import RolloutConfig
from agentgym.scripts import UnscriptedError
from agentgym.store import Store
from agentgym.trajectory import Trajectory

SOON = RolloutConfig(backoff=Backoff(first=0), worker="shared")


class Kept(list[Trajectory]):
    """A writer."""

    def add(self, trajectory: Trajectory) -> None:
        self.append(trajectory)


class Echo:
    """Answers with what follows the task in the question; fails when it is first asked."""

    name = "echo"

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.asked: list[str] = []
        self.closed = 0

    async def write(self, messages: Sequence[Message]) -> str:
        task, _, solution = str(messages[-1]["content"]).partition(": ")
        self.asked.append(task)
        if self.fault is not None and self.asked.count(task) == 1:
            raise self.fault
        return solution

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def _alive() -> None:
    Solved.deaths = 0


def test_what_ends_well_is_kept_and_everything_else_has_a_reason() -> None:
    writer, told = Kept(), list[LeftOut]()
    found = convert(
        SOLVED, config=SOON, writer=writer, on_left_out=told.append, display=Display.OFF
    )
    assert [t.task_id for t in found.kept] == ["goal-3", "goal-8"]
    assert sorted(t.task_id for t in writer) == ["goal-3", "goal-8"]
    first, second = found.kept
    assert [turn.action for turn in first.turns] == ["<say>three</say>", "<add>3</add>"]
    assert first.turns[1].observation == "You said: three"
    assert first.success
    assert first.meta["converted_by"] == "rule"
    assert (second.attempts, Solved.deaths) == (2, 2)  # the world's failure was tried again

    assert told == list(found.left_out)
    assert {one.task_id: (one.reason, one.detail) for one in told} == {
        "goal-4": ("no end", "the episode goes on after 1 actions"),
        "goal-5": ("wrong format", "That is no number."),
        "goal-6": ("said oops", "out loud"),
        "goal-7": ("no solution", "it is empty"),
    }
    assert set(found.reasons.values()) == {1}


def test_a_model_may_write_the_scripts_and_is_asked_again_for_the_worlds_failures_only() -> None:
    model = Echo(InfraError("the model is away"))
    found = convert(SOLVED, model, config=SOON, display=Display.OFF)
    assert [t.task_id for t in found.kept] == ["goal-3", "goal-8"]
    assert found.kept[0].meta["converted_by"] == "echo"
    assert found.reasons["nothing written"] == 1
    # Once more after its own failure; not once more after the environment's.
    assert sorted(model.asked) == sorted([f"goal-{n}" for n in range(3, 9)] * 2)
    assert found.kept[1].attempts == 3
    assert model.closed == 1


def test_a_model_that_refuses_ends_the_conversion() -> None:
    model = Echo(UsageError("no such key"))
    with pytest.raises(UsageError, match="no such key"):
        convert(SOLVED, model, config=SOON, display=Display.OFF)
    assert model.closed == 1


def test_tasks_can_be_chosen() -> None:
    found = convert(SOLVED, first=5, episodes=9, config=SOON, display=Display.OFF)
    assert [t.task_id for t in found.kept] == ["goal-8"]
    found = convert(SOLVED, first=1, episodes=2, config=SOON, display=Display.OFF)
    assert sorted(one.task_id for one in found.left_out) == ["goal-4", "goal-5"]
    for first in (6, -1):
        with pytest.raises(UsageError, match="There are 6 tasks"):
            convert(SOLVED, first=first)


def test_an_environment_without_a_scriptwriter_says_so() -> None:
    with pytest.raises(UsageError, match="Counter can't turn worked solutions into episodes"):
        convert(toy_envs.COUNTER)


def test_its_error_survives_pickling() -> None:
    fault = pickle.loads(pickle.dumps(UnscriptedError("no solution", "it is empty")))
    assert (fault.reason, fault.detail) == ("no solution", "it is empty")
    assert str(fault) == "no solution: it is empty"


def test_the_command_keeps_a_run_and_says_what_it_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["convert", SOLVED, "--quiet", "--out", str(run)]) == ExitCode.OK
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{run}: 2 trajectories of 6 tasks"
    assert "  left out, said oops: 1" in said
    assert said[-1] == f"  each of them with its reason: {run / 'left_out.jsonl'}"
    assert {t.task_id for t in Store.open(run)} == {"goal-3", "goal-8"}
    lines = (run / "left_out.jsonl").read_text().splitlines()
    assert '{"task_id":"goal-7","reason":"no solution","detail":"it is empty"}' in lines

    empty = ["convert", SOLVED, "--quiet", "--out", str(tmp_path / "empty")]
    assert main([*empty, "--first", "1", "--episodes", "1"]) == ExitCode.FAILED


def test_the_command_takes_a_model_by_its_url(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["convert", SOLVED, "--quiet", "--episodes", "1", "--out", str(run), "--model", "m"]
    assert main(words) == ExitCode.USAGE
    assert "--url URL" in capsys.readouterr().err
    assert not run.exists()
    with chat_endpoint(lambda _: Answer("no such key", 401)) as endpoint:
        assert main([*words, "--url", endpoint.url]) == ExitCode.USAGE
    assert "refuses: 401 no such key" in capsys.readouterr().err
    assert not run.exists()
    with chat_endpoint(lambda _: Answer.saying("add: 1; add: 2")) as endpoint:
        assert main([*words, "--url", endpoint.url]) == ExitCode.OK
    (kept,) = Store.open(run)
    assert [turn.action for turn in kept.turns] == ["<add>1</add>", "<add>2</add>"]
    assert kept.meta["converted_by"] == "m"
