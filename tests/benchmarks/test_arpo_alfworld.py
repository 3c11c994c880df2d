"""The seeds' table of the learning benchmark: what is averaged, and over what."""

import arpo_alfworld
import pytest


def test_the_table_compares_within_seeds_and_spreads_over_them() -> None:
    starts = [arpo_alfworld.ColdStart(0, "a", 0.4), arpo_alfworld.ColdStart(1, "b", 0.5)]
    trained = {"arpo": (0.6, 0.8), "grpo": (0.5, 0.8)}
    rows = [
        arpo_alfworld.Row(
            start.seed, name, start.success, trained[name][start.seed], 0.02, 0, 0, 0, 1
        )
        for start in starts
        for name in ("grpo", "arpo")
    ]
    summary = arpo_alfworld.summarise(starts, rows)
    assert summary["cold start"] == pytest.approx((0.45, 0.1 / 2**0.5))
    assert summary["arpo"]["success"] == pytest.approx((0.7, 0.2 / 2**0.5))
    assert summary["arpo"]["gain"] == pytest.approx((0.25, 0.1 / 2**0.5))
    assert summary["grpo"]["gain"] == pytest.approx((0.2, 0.2 / 2**0.5))
    assert summary["difference"] == pytest.approx((0.05, 0.1 / 2**0.5))


def test_one_seed_has_no_spread() -> None:
    starts = [arpo_alfworld.ColdStart(0, "a", 0.4)]
    rows = [
        arpo_alfworld.Row(0, name, 0.4, 0.6, 0.02, 0, 0, 0, 1) for name in arpo_alfworld.ALGORITHMS
    ]
    assert arpo_alfworld.summarise(starts, rows)["difference"] == (0.0, 0.0)
