"""The seeds' table of the learning benchmark: what is averaged, and over what."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "learning" / "arpo_alfworld.py"


@pytest.fixture(scope="module")
def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("arpo_alfworld", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_compares_within_seeds_and_spreads_over_them(benchmark: Any) -> None:
    starts = [benchmark.ColdStart(0, "a", 0.4), benchmark.ColdStart(1, "b", 0.5)]
    trained = {"arpo": (0.6, 0.8), "grpo": (0.5, 0.8)}
    rows = [
        benchmark.Row(start.seed, name, start.success, trained[name][start.seed], 0.02, 0, 0, 0, 1)
        for start in starts
        for name in ("grpo", "arpo")
    ]
    summary = benchmark.summarise(starts, rows)
    assert summary["cold start"] == pytest.approx((0.45, 0.1 / 2**0.5))
    assert summary["arpo"]["success"] == pytest.approx((0.7, 0.2 / 2**0.5))
    assert summary["arpo"]["gain"] == pytest.approx((0.25, 0.1 / 2**0.5))
    assert summary["grpo"]["gain"] == pytest.approx((0.2, 0.2 / 2**0.5))
    assert summary["difference"] == pytest.approx((0.05, 0.1 / 2**0.5))


def test_one_seed_has_no_spread(benchmark: Any) -> None:
    starts = [benchmark.ColdStart(0, "a", 0.4)]
    rows = [benchmark.Row(0, name, 0.4, 0.6, 0.02, 0, 0, 0, 1) for name in benchmark.ALGORITHMS]
    assert benchmark.summarise(starts, rows)["difference"] == (0.0, 0.0)
