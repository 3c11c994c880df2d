"""ArCHer learns a task whose reward comes late; GRPO, in as many episodes, doesn't."""

from pathlib import Path

import archer_sample_efficiency as benchmark
import pytest
import two_rooms

STEPS = 14


@pytest.mark.integration
def test_archer_learns_in_as_many_episodes_as_grpo_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = benchmark.TASKS["two rooms"]
    small = benchmark.Benchmark(
        two_rooms.ENV,
        {"instructions": "", "corridor": 4, "max_turns": 18},
        whole.demonstrations,
        100,
        0.8,
        whole.settings,
        whole.critic,
    )
    monkeypatch.setitem(benchmark.TASKS, "two rooms", small)
    model = benchmark.cold_start(str(tmp_path), "two rooms", 1)
    archer, grpo = (
        benchmark.learn(str(tmp_path), "two rooms", model, algorithm, 1, STEPS)
        for algorithm in ("archer", "grpo")
    )
    assert archer.needed is not None, archer.curve
    assert grpo.needed is None, grpo.curve
    assert archer.success - grpo.success > 0.2
