"""How episodes end, and what an environment's odd `info` does to its own episode and no other."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from toy_policies import Answers

from agentgym._ending import stop_reason
from agentgym.env import WorkerKind
from agentgym.evaluation import Evaluation
from agentgym.metrics import rollout_metrics
from agentgym.rollout import Collector, EpisodeSpec, RolloutConfig
from agentgym.spaces import Unicode
from agentgym.stop_reason import StopReason
from agentgym.trajectory import Trajectory
from agentgym.workers import Step


@pytest.mark.parametrize(
    ("reward", "terminated", "truncated", "info", "expected"),
    [
        (0.0, False, False, {}, None),
        (0.0, True, False, {}, StopReason.FAILURE),
        (1.0, True, False, {}, StopReason.SUCCESS),
        (1.0, True, False, {"success": False}, StopReason.FAILURE),
        (0.0, True, False, {"is_success": True}, StopReason.SUCCESS),
        (0.0, False, True, {}, StopReason.TURN_LIMIT),
        (0.0, False, True, {"stop_reason": "time_limit"}, StopReason.TIME_LIMIT),
    ],
)
def test_why_an_episode_ended(
    reward: float, terminated: bool, truncated: bool, info: Any, expected: StopReason | None
) -> None:
    assert stop_reason(Step("", reward, terminated, truncated, info, (), 0.0)) is expected


class Odd(gymnasium.Env[str, str]):
    """Knows nothing of agentgym, and ends with whatever info it was made with."""

    observation_space = Unicode()
    action_space = Unicode()

    def __init__(self, info: dict[str, Any]) -> None:
        self.info = info

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        return "say it", {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        return "you said it", 1.0, True, False, self.info


def odd(info: dict[str, Any]) -> Trajectory:
    once = RolloutConfig(worker=WorkerKind.SHARED, retries=0)
    with Collector(Odd, {"info": info}, Answers(lambda _: "x"), once) as collector:
        first, second = collector.collect([EpisodeSpec(), EpisodeSpec()])
    assert first.stop_reason is second.stop_reason
    return first


@pytest.mark.parametrize(
    "given", ["solved", "", 3, ["success"], {"why": "x"}, np.zeros(2), "x" * 999]
)
def test_an_odd_stop_reason_is_the_environments_bug(given: Any) -> None:
    trajectory = odd({"stop_reason": given, "success": True})
    assert trajectory.stop_reason is StopReason.ENV_ERROR
    assert not trajectory.success
    assert trajectory.error is not None
    assert "info['stop_reason']" in trajectory.error
    assert repr(given)[:60] in trajectory.error
    assert "turn_limit" in trajectory.error
    assert len(trajectory.error) < 500


def test_a_success_that_is_neither_true_nor_false_is_the_environments_bug() -> None:
    for info in ({"success": np.zeros(2)}, {"is_success": np.zeros(2)}):
        trajectory = odd(info)
        assert trajectory.stop_reason is StopReason.ENV_ERROR
        assert "success" in (trajectory.error or "")
        assert not trajectory.success


@pytest.mark.parametrize("given", [["rooms", 3], "rooms", 3.5, None, np.ones(3)])
def test_metrics_that_are_no_mapping_are_left_out(given: Any) -> None:
    trajectory = odd({"metrics": given})
    assert (trajectory.stop_reason, trajectory.metrics) == (StopReason.SUCCESS, {})
    assert rollout_metrics([trajectory])["rollout/success"] == 1.0


def test_of_the_metrics_the_numbers_are_kept() -> None:
    numbers = {"rooms": 3, "share": np.float32(0.5), "solved": True, "seen": np.bool_(False)}
    others = {"path": "abc", "deep": {"a": 1}, "all": np.ones(3), "none": None, "huge": 10**400}
    trajectory = odd({"metrics": {**numbers, **others, 7: 1.0}})
    expected = {"rooms": 3.0, "share": 0.5, "solved": 1.0, "seen": 0.0}
    assert trajectory.metrics == expected
    assert {type(value) for value in trajectory.metrics.values()} == {float}
    assert rollout_metrics([trajectory])["env/rooms"] == 3.0
    assert Evaluation.of([trajectory]).metrics == expected


@pytest.mark.parametrize("reason", ["env_error", "infra_error", "policy_error"])
def test_an_episode_that_ends_in_an_error_is_no_success(reason: str) -> None:
    trajectory = odd({"stop_reason": reason, "success": True})
    assert trajectory.stop_reason is StopReason(reason)
    assert not trajectory.success
