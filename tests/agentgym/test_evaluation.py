"""`evaluate`: means and their standard errors, against numbers worked out by hand."""

import math

import numpy as np
import pytest
import toy_envs
from hypothesis import given
from hypothesis import strategies as st

from agentgym.errors import UsageError
from agentgym.evaluation import Estimate, Evaluation, evaluate
from agentgym.policies import make_policy
from agentgym.stop_reason import StopReason
from agentgym.trajectory import Trajectory, Turn

numbers = st.lists(st.floats(-100, 100), min_size=2, max_size=12)


def episode(task: str, reward: float, stop: StopReason | None = None) -> Trajectory:
    ended = stop or (StopReason.SUCCESS if reward else StopReason.FAILURE)
    return Trajectory("e", task, ended, [Turn("o", "a", reward)], success=bool(reward))


def test_episodes_of_one_task_are_one_cluster():
    # Residuals from 1/2 add up to 0 in a, 1 in b, -1/2 in c and in d: squares of 3/2 in all.
    estimate = Estimate.of([1, 0, 1, 1, 0, 0], ["a", "a", "b", "b", "c", "d"])
    assert estimate.mean == 0.5
    assert estimate.stderr == pytest.approx(math.sqrt(4 / 3 * 3 / 2) / 6)


def test_clusters_of_unequal_size():
    # Mean 2; residual sums -1 - 1 + 0 = -2 in a, 2 in b.
    estimate = Estimate.of([1, 4, 1, 2], ["a", "b", "a", "a"])
    assert estimate.mean == 2.0
    assert estimate.stderr == pytest.approx(math.sqrt(2 / 1 * (4 + 4)) / 4)


@given(numbers)
def test_clusters_of_one_have_the_usual_standard_error(values: list[float]):
    usual = float(np.std(values, ddof=1)) / len(values) ** 0.5
    names = [str(k) for k in range(len(values))]
    assert Estimate.of(values).stderr == pytest.approx(usual)
    assert Estimate.of(values, names).stderr == pytest.approx(usual)


@given(numbers, st.integers(2, 5))
def test_playing_the_same_again_adds_no_certainty(values: list[float], times: int):
    names = [str(k) for k in range(len(values))]
    once = Estimate.of(values, names)
    again = Estimate.of(values * times, names * times)
    assert again.mean == pytest.approx(once.mean, abs=1e-9)
    assert again.stderr == pytest.approx(once.stderr, abs=1e-9)


def test_where_there_is_no_spread_to_see_there_is_no_standard_error():
    assert math.isnan(Estimate.of([]).mean)
    assert math.isnan(Estimate.of([1.0]).stderr)
    assert math.isnan(Estimate.of([1.0, 0.0], ["a", "a"]).stderr)


def test_an_evaluation_clusters_by_task_and_leaves_failed_episodes_out():
    played = [
        episode(task, reward)
        for task, reward in zip("aabbcd", [1.0, 0.0, 1.0, 1.0, 0.0, 0.0], strict=True)
    ]
    result = Evaluation.of([*played, episode("a", 0.0, StopReason.INFRA_ERROR)])
    assert (result.episodes, result.judged) == (7, 6)
    for estimate in (result.success, result.reward):
        assert estimate.mean == 0.5
        assert estimate.stderr == pytest.approx(math.sqrt(2) / 6)
    assert result.turns == Estimate(1.0, 0.0)


def test_episodes_of_no_known_task_are_independent():
    result = Evaluation.of([episode("", reward) for reward in (1.0, 0.0, 1.0, 0.0)])
    assert result.success.stderr == pytest.approx(math.sqrt(1 / 3) / 2)


@pytest.mark.parametrize("episodes", [0, -1])
def test_an_evaluation_of_nothing_is_refused(episodes: int):
    with pytest.raises(UsageError, match=f"takes 1 episode or more, got {episodes}"):
        evaluate(toy_envs.COUNTER, make_policy("random"), episodes)
