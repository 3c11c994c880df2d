"""The benchmark of ArCHer runs from end to end, and counts environment steps rightly."""

from pathlib import Path

import archer_sample_efficiency as benchmark
import pytest
import two_rooms
from PIL import Image

from agentgym.config import merge
from agentgym.registry import make


@pytest.mark.integration
def test_every_algorithm_goes_on_from_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = benchmark.Benchmark(
        two_rooms.ENV,
        {"instructions": "", "corridor": 1, "max_turns": 6},
        {"expert": "wanderer", "episodes": 16, "where": []},
        2,
        0.8,
    )
    monkeypatch.setitem(benchmark.TASKS, "two rooms", small)
    quick = {"warmup_steps": 0, "critic": {"steps": 2}, "actor": {"steps": 1}}
    archer = merge(benchmark.ALGORITHMS["archer"], quick)
    monkeypatch.setitem(benchmark.ALGORITHMS, "archer", archer)
    model = benchmark.cold_start(str(tmp_path), "two rooms", 0)
    rows = [
        benchmark.learn(str(tmp_path), "two rooms", model, algorithm, 0, 1)
        for algorithm in benchmark.ALGORITHMS
    ]
    assert [row.algorithm for row in rows] == list(benchmark.ALGORITHMS)
    assert all(0 < row.taken <= 32 * 6 and len(row.curve) == 1 for row in rows)


def test_the_target_counts_over_a_window_of_episodes() -> None:
    rows = [
        {"rollout/episodes": 32.0, "rollout/turns": 10.0, "rollout/success": success}
        for success in (0.9, 0.5, 0.75, 0.85, 0.9)
    ]
    row = benchmark.summarise(rows, "two rooms", "archer", 0, 1.0)
    assert [success for _, success in row.curve] == pytest.approx([0.9, 0.7, 0.625, 0.8, 0.875])
    assert (row.needed, row.taken, row.success) == (4 * 320, 5 * 320, pytest.approx(0.875))


def test_what_was_not_reached_is_more_than_what_was_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [
        benchmark.Row("two rooms", algorithm, seed, needed, 5000.0, 0.5, 1.0, [(5000.0, 0.5)])
        for algorithm in benchmark.ALGORITHMS
        for seed, needed in ((0, 1000.0), (1, None if algorithm == "grpo" else 2000.0))
    ]
    benchmark.table(rows)
    lines = {line.split()[2]: line.split() for line in capsys.readouterr().out.splitlines()[2:]}
    assert lines["archer"][3:6] == ["1,500", "2/2", "1"]
    assert lines["grpo"][3:8] == [">", "3,000", "1/2", ">", "2.0"]


def test_a_ratio_to_what_was_not_reached_is_an_upper_bound(
    capsys: pytest.CaptureFixture[str],
) -> None:
    needed = {"archer": None, "ppo": None, "grpo": 2000.0, "filtered_bc": 4000.0}
    benchmark.table(
        [
            benchmark.Row("two rooms", algorithm, 0, steps, 5000.0, 0.5, 1.0, [(5000.0, 0.5)])
            for algorithm, steps in needed.items()
        ]
    )
    lines = {line.split()[2]: line.split() for line in capsys.readouterr().out.splitlines()[2:]}
    assert lines["grpo"][3:7] == ["2,000", "1/1", "<", "0.4"]
    assert lines["ppo"][5:7] == ["0/1", "?"]


def test_the_curves_are_drawn(tmp_path: Path) -> None:
    rows = [
        benchmark.Row("two rooms", algorithm, 0, None, 50.0, 0.5, 1.0, [(20.0, 0.1), (50.0, 0.5)])
        for algorithm in benchmark.ALGORITHMS
    ]
    benchmark.plot(rows, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as drawn:
        assert len(drawn.getcolors(1 << 20) or ()) > len(benchmark.ALGORITHMS)


@pytest.mark.parametrize("corridor", [1, 10])
def test_the_way_leads_to_the_door_and_nothing_else_pays(corridor: int) -> None:
    env = make(two_rooms.ENV, corridor=corridor, max_turns=50, expert="direct")
    _, info = env.reset(seed=0)
    rewards = list[float]()
    while info["stop_reason"] is None:
        _, reward, *_, info = env.step(info["expert_action"])
        rewards.append(reward)
    assert rewards == [0.0] * (corridor + 2) + [1.0]


def test_without_the_key_the_door_stays_shut() -> None:
    env = make(two_rooms.ENV, corridor=1)
    env.reset(seed=0)
    for command in (two_rooms.OPEN, two_rooms.TAKE, two_rooms.TAKE):
        *_, info = env.step(command)
    assert info["action_error"] is not None  # it was taken already
    env.reset(seed=0)
    for command in (two_rooms.ENTER, two_rooms.LEFT, two_rooms.OPEN):
        observation, reward, terminated, *_ = env.step(command)
    assert observation["text"] == "You are in the second room and have no key."
    assert (reward, terminated) == (0.0, False)
