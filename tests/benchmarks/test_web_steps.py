"""The benchmark of the web environment: what it counts and compares, and one crew of ours."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peer_venv
import pytest
import web_players
import web_steps
from process_tree import cpu_seconds, mib_below
from web_crew import Crew, CrewError, Process, Way
from web_players import PAGE_SEEDS, page_seed
from web_rewards import Episode, at_random, by_points, difference, report, solved
from web_steps import BARE, BROWSERGYM, FARAMA, SCREENSHOT, TEXT, Row


def seen(*raws: float, ends: bool = False, goal: str = "Click.") -> list[dict[str, Any]]:
    last = len(raws) - 1
    return [
        {"goal": goal, "raw": raw, "done": ends and step == last} for step, raw in enumerate(raws)
    ]


def row(steps_rate: float, episodes_rate: float) -> Row:
    return Row([0.1], [0.02], 0.013, steps_rate, episodes_rate, 300.0)


def test_pages_are_seeded_as_browsergym_does() -> None:
    assert page_seed(7) == page_seed(7) != page_seed(8)
    assert all(
        type(page_seed(seed)) is int and 0 <= page_seed(seed) < PAGE_SEEDS for seed in [0, 9]
    )


def test_an_episode_is_always_the_same_and_stays_on_the_page() -> None:
    actions = at_random("click-test", 1).actions
    assert actions == at_random("click-test", 1).actions
    assert actions != at_random("click-test", 2).actions
    assert [kind for kind, *_ in actions].count("type") == 1
    points = [values for kind, *values in actions if kind == "click"]
    assert len(points) == 8
    assert all(0 <= x < 160 and 50 <= y < 210 for x, y in points)


@pytest.mark.parametrize(
    ("call", "actions"),
    [
        ("click(2)", [("click", 16, 61)]),
        ("fill(3, 'it\\'s')", [("click", 50, 85), ("type", "it's")]),
        ("click(4)", None),
        ("click(5)", None),
        ("press(2, 'Enter')", None),
    ],
)
def test_an_experts_call_is_done_by_points(call: str, actions: Any) -> None:
    text = """Do it.
[1] label at (2, 59, 60, 11)
  [2] checkbox "a [3]" unchecked at (6, 55, 20, 13)
[3] textbox focused at (0, 80, 100, 10)
[4] link "b" offscreen at (0, 400, 10, 10)"""
    assert by_points(call, text) == actions


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        (seen(0, -1, ends=True), seen(0, -1, ends=True), None),
        (seen(0, 0, goal="Do  it"), seen(0, 0, goal="Do\nit"), None),
        (seen(0, goal="Do it"), seen(0, goal="Leave it"), "goal 'Do it', theirs 'Leave it'"),
        (
            seen(0, 0.5, ends=True),
            seen(0, -1, ends=True),
            "after action 1: ours 0.5, ended, theirs -1, ended",
        ),
        (
            seen(0, 0, 1, ends=True),
            seen(0, 0, 1),
            "after action 2: ours 1, ended, theirs 1, goes on",
        ),
        (seen(0), "no such page", "not played: no such page"),
    ],
)
def test_a_difference_is_the_first_one(ours: Any, theirs: Any, told: str | None) -> None:
    assert difference(ours, theirs) == told


def test_a_page_agrees_if_all_its_episodes_do() -> None:
    episodes = [Episode("a", 0, ()), Episode("a", 1, ()), Episode("b", 0, (), solved=True)]
    ours = {one: seen(0, 1, ends=True) for one in episodes}
    theirs = {**ours, episodes[1]: seen(0, 0)}
    unplayed = Episode("c", 0, ())
    told = report("Peer", {**ours, unplayed: seen(0)}, theirs).splitlines()
    assert told[0].startswith("Peer: 1 of 2 pages agree, in 3 episodes of 3 actions in all")
    assert told[0].endswith("3 ended, 3 of them with a reward above 0")
    assert told[1:] == ["  a/1: after action 1: ours 1, ended, theirs 0, goes on"]


def test_rates_are_the_contexts_together() -> None:
    assert web_steps.rate([[0.5, 0.5], [0.25]]) == 6.0
    assert web_steps.p99([3.0, 1.0, 2.0]) == 3.0
    assert web_steps.p99([float(n) for n in range(200)]) == 198.0


def test_the_goals_are_by_the_least_ratio_and_the_best_rate() -> None:
    table: dict[Way, dict[int, Row | str]] = {
        TEXT: {1: row(40, 30), 4: row(90, 61)},
        SCREENSHOT: {1: row(30, 10), 4: row(30, 10)},
        BROWSERGYM: {1: row(1, 0.5), 4: row(2, 0.5)},
        BARE: {1: row(10, 1), 4: "ended"},
        FARAMA: {1: row(10, 1), 4: row(10, 1)},
    }
    told = web_steps.verdicts(table, cores=2)
    assert "screenshot included: MISSED, 15.0 times where it is least" in told
    assert "episodes/s on 2 cores: met, 61.0 at best on 2" in told
    lines = [line.split() for line in told.splitlines() if "no delays" in line]
    assert [line[-5:] for line in lines] == [
        ["1", "3.0", "x", "10.0", "x"],
        ["1", "4.0", "x", "30.0", "x"],
    ]


def test_a_row_says_milliseconds() -> None:
    assert row(40, 30).line().split() == ["100", "100", "20", "20", "13", "40.0", "30.00", "300"]


def fake_run(
    commands: list[list[str]], code: int
) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run(command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        commands.append(command)
        (Path(command[-1]) if "venv" in command else Path(command[0])).parent.mkdir(
            parents=True, exist_ok=True
        )
        return subprocess.CompletedProcess(command, code, "", "no such package\n")

    return run


def test_a_peers_environment_is_made_once_for_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(peer_venv, "subprocess", SimpleNamespace(run=fake_run(commands, 0)))
    python = peer_venv.peer_python("peer", ["one==1"], tmp_path)
    assert python == tmp_path / "peer" / "bin" / "python"
    assert commands[1][-1] == "one==1"
    assert peer_venv.peer_python("peer", ["one==1"], tmp_path) == python
    assert len(commands) == 2
    peer_venv.peer_python("peer", ["one==2"], tmp_path)
    assert len(commands) == 4


def test_an_environment_that_fails_says_why_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(peer_venv, "subprocess", SimpleNamespace(run=fake_run(commands, 1)))
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"peer can't be made: no such package"):
            peer_venv.peer_python("peer", ["one==1"], tmp_path)
    assert len(commands) == 2


def test_memory_is_that_of_what_a_process_has_started() -> None:
    before = mib_below([os.getpid()])
    holder = "import sys; held = bytearray(b'x' * 2**26); print('ready', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        assert mib_below([os.getpid()]) - before > 60
        assert mib_below([child.pid]) == 0
        assert 0 < cpu_seconds([child.pid]) < cpu_seconds([os.getpid()])
        child.communicate("\n", timeout=30)


@pytest.mark.integration
def test_a_crew_of_ours_plays_and_says_what_went_wrong() -> None:
    actions = [("type", "x"), ("click", 16, 61)]
    with Crew(TEXT, 2) as crew:
        crew.call("begin", seconds=120)
        one, two = crew.call("play", "click-checkboxes-large", 3, actions, seconds=120)
        assert one == two
        assert [each["done"] for each in one] == [False, False, False]
        assert one[0]["goal"].startswith("Select ")
        assert crew.mib_each() > 10
        for spent in crew.call("episodes", 0.0, seconds=120):
            ((reset, whole),) = spent
            assert 0 < reset < whole
        with pytest.raises(CrewError, match="UnknownNameError"):
            crew.call("play", "no-such-page", 3, actions, seconds=120)


@pytest.mark.integration
def test_what_the_expert_does_earns_the_same_by_points() -> None:
    episodes = list(solved(["click-checkboxes-large", "click-pie", "login-user"], 3))
    assert [one.page for one in episodes] == ["click-checkboxes-large", "login-user"]
    with Crew(TEXT, 1) as crew:
        for one in episodes:
            (played,) = crew.call("play", one.page, one.seed, one.actions, seconds=120)
            assert (played[-1]["raw"], played[-1]["done"]) == (1.0, True)


@pytest.mark.integration
def test_a_player_that_does_not_answer_is_ended() -> None:
    process = Process(TEXT, 1)
    try:
        with pytest.raises(CrewError, match="no answer in 0 s"):
            process.call("steps", 60.0, seconds=0.2)
    finally:
        process.close()


@pytest.mark.integration
def test_the_step_that_is_timed_changes_the_page() -> None:
    import agentgym

    env = agentgym.make("agentgym/MiniWoB-v0", task=web_players.PAGE)
    _, x, y = web_players.TOGGLE
    try:
        for seed in range(3):
            env.reset(seed=seed)
            for state in ("checked", "unchecked"):
                observation, *_ = env.step(f"mouse_click({x}, {y})")
                boxes = [line for line in observation["text"].splitlines() if "checkbox" in line]
                assert state in boxes[0].split()
    finally:
        env.close()
