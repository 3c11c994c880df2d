"""The figures of a batch, against numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from store_cases import trajectories as arbitrary

from agentgym.metrics import rollout_metrics
from agentgym.policy import FinishReason
from agentgym.stop_reason import StopReason
from agentgym.trajectory import Trajectory, Turn


def turn(reward=0.0, tokens=2, **given):
    ids = np.zeros(tokens, np.int32)
    return Turn("o", "a", reward, prompt_ids=np.zeros(5, np.int32), completion_ids=ids, **given)


def episode(stop, turns, group="", **given):
    return Trajectory("e", "t", stop, turns, group_id=group, **given)


BATCH = [
    episode(
        StopReason.SUCCESS,
        [turn(0.5, 4, step_seconds=1.0), turn(0.5, 2, action_error="what?", step_seconds=2.0)],
        "g1",
        success=True,
        metrics={"rooms": 4.0, "lost": math.nan},
        seconds=6.0,
    ),
    episode(StopReason.TURN_LIMIT, [turn(0.0, 3, finish=FinishReason.LENGTH)], "g1", attempts=3),
    episode(StopReason.FAILURE, [turn(0.25)], "g2", metrics={"rooms": 2.0}),
    episode(StopReason.FAILURE, [turn(0.25)], "g2"),
    episode(StopReason.FAILURE, [turn(9.0)], "g3"),
    episode(
        StopReason.INFRA_ERROR,
        [turn(100.0, 50, step_seconds=70.0, generate_seconds=80.0)],
        "g2",
        attempts=2,
        error="gone",
        seconds=300.0,
        reset_seconds=90.0,
    ),
    episode(StopReason.ENV_ERROR, [], "g2", error="bug"),
    episode(StopReason.POLICY_ERROR, [], "g2", error="no answer"),
]


def test_figures():
    figures = rollout_metrics(BATCH)
    expected = {
        "rollout/episodes": 8,
        "rollout/success": 1 / 5,
        "rollout/reward": (1.0 + 0.0 + 0.25 + 0.25 + 9.0) / 5,
        "rollout/reward_std": float(np.std([1.0, 0.0, 0.25, 0.25, 9.0])),
        "rollout/reward_min": 0.0,
        "rollout/reward_max": 9.0,
        "rollout/turns": 6 / 5,
        "rollout/turns_max": 2,
        "rollout/tokens": (6 + 3 + 2 + 2 + 2) / 5,
        "rollout/tokens_max": 6,
        "rollout/turn_tokens": 15 / 6,
        "rollout/prompt_tokens": 30 / 5,
        "rollout/cut_turns": 1 / 6,
        "rollout/action_errors": 1 / 6,
        "group/count": 2,
        "group/size": 2.0,
        "group/reward_std": (0.5 + 0.0) / 2,
        "group/success_std": (0.5 + 0.0) / 2,
        "group/reward_between_std": 0.125,
        "group/flat": 1 / 2,
        "group/solved": 0.0,
        "group/failed": 1 / 2,
        "stop/success": 1 / 8,
        "stop/failure": 3 / 8,
        "stop/turn_limit": 1 / 8,
        "stop/token_limit": 0.0,
        "stop/time_limit": 0.0,
        "stop/policy_error": 1 / 8,
        "stop/env_error": 1 / 8,
        "stop/infra_error": 1 / 8,
        "infra/failures": 1,
        "infra/env_errors": 1,
        "infra/policy_errors": 1,
        "infra/retries": 3,
        "env/rooms": 3.0,
        "time/step_p50": 0.0,
        "time/step_p99": float(np.percentile([1.0, 2.0, 0, 0, 0, 0], 99)),
        "time/generate_p50": 0.0,
        "time/generate_p99": 0.0,
        "time/reset_p50": 0.0,
        "time/reset_p99": 0.0,
        "time/episode": 6.0 / 5,
    }
    assert figures == pytest.approx(expected)
    assert list(figures) == list(rollout_metrics(BATCH))


def test_faults_enter_no_mean():
    sound = rollout_metrics([one for one in BATCH if one.stop_reason.trainable])
    mixed = rollout_metrics(BATCH)
    for name in sound:
        if name.startswith(("rollout/", "group/", "env/", "time/")) and name != "rollout/episodes":
            assert mixed[name] == sound[name], name


def test_nothing_has_few_figures():
    assert rollout_metrics([]) == {
        "rollout/episodes": 0,
        "infra/failures": 0,
        "infra/env_errors": 0,
        "infra/policy_errors": 0,
        "infra/retries": 0,
    }
    only_faults = rollout_metrics([BATCH[-1]])
    assert "rollout/success" not in only_faults
    assert not any(name.startswith("time/") for name in only_faults)
    assert only_faults["stop/policy_error"] == 1.0


@given(trajectory=arbitrary)
@settings(max_examples=20, deadline=None)
@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_figures_are_plain_numbers_under_names_with_slashes(trajectory):
    for name, value in rollout_metrics([trajectory, trajectory]).items():
        assert type(value) in (int, float)
        assert "/" in name
