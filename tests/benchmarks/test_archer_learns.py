"""ArCHer learns a task whose reward comes late; GRPO, in as many episodes, doesn't."""

from pathlib import Path
from typing import Any

import archer_sample_efficiency as benchmark
import pytest
import two_rooms

from agentgym.config import merge

STEPS = 20
# What fits into a minute: a third of the benchmark's critic updates and a sixth of its actor's, on
# batches of half the size, at twice the learning rate. Since the critic has seen so little by then,
# the policy is held back twice as much.
QUICK: dict[str, Any] = {
    "warmup_steps": 4,
    "optimizer": {"lr": 2e-3, "schedule": "constant"},
    "loss": {"kl_coef": 0.2},
    "critic": {"steps": 40, "batch_size": 128},
    "actor": {"steps": 6, "batch_size": 32},
}


@pytest.mark.integration
@pytest.mark.slow
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
        whole.archer,
    )
    monkeypatch.setitem(benchmark.TASKS, "two rooms", small)
    quick = merge(benchmark.ALGORITHMS["archer"], QUICK)
    monkeypatch.setitem(benchmark.ALGORITHMS, "archer", quick)
    model = benchmark.cold_start(str(tmp_path), "two rooms", 1)
    archer, grpo = (
        benchmark.learn(str(tmp_path), "two rooms", model, algorithm, 1, STEPS)
        for algorithm in ("archer", "grpo")
    )
    assert archer.needed is not None, archer.curve
    assert grpo.needed is None, grpo.curve
    assert archer.success - grpo.success > 0.2
