"""Settings that could do nothing, or only fail after a rollout, are refused before one."""

from typing import Any

import pytest

from agentgym.config import load
from agentgym.errors import ConfigError
from agentgym.registry import trainers

NEEDED = {"env": {"id": "agentgym/ALFWorld-v0"}, "model": {"path": "models/any"}}


def config(algorithm: str, *given: str) -> Any:
    trainer_class: Any = trainers.load(algorithm)
    return load(trainer_class.config_class, [], given, NEEDED)


@pytest.mark.parametrize(
    ("algorithm", "given", "said"),
    [
        ("ppo", "advantage.estimator=leave_one_out", "gae"),
        ("filtered_bc", "advantage.gamma=0.9", "imitates the best"),
        ("filtered_bc", "loss.kl_coef=0.1", "no reference"),
        ("sft", "loss.kl_coef=0.1", "no reference"),
        ("sft", "loss.ratio_level=token", "ratio_level"),
        ("sft", "loss.correction.level=token", "correction.level"),
        ("sft", "loss.aggregation=seq_sum_const", "max_length"),
    ],
)
def test_a_setting_without_effect_is_refused(algorithm: str, given: str, said: str) -> None:
    config(algorithm)
    with pytest.raises(ConfigError, match=said):
        config(algorithm, given)


@pytest.mark.parametrize("algorithm", ["rloo", "reinforce_pp"])
def test_a_divergence_in_the_reward_needs_the_policy_before_the_update(algorithm: str) -> None:
    anchored = ("loss.ratio_anchor=mu", "loss.correction.level=none")
    config(algorithm, *anchored)
    with pytest.raises(ConfigError, match="ratio_anchor to 'old'"):
        config(algorithm, *anchored, "kl_reward_coef=0.1")


@pytest.mark.parametrize("algorithm", ["dr_grpo", "grpo", "ppo"])
def test_a_constant_length_is_the_longest_episode_by_default(algorithm: str) -> None:
    constant = "loss.aggregation=seq_sum_const"
    made = config(algorithm, constant, "policy.max_length=77")
    assert made.loss.max_length == 77
    assert config(algorithm, constant, "loss.max_length=5").loss.max_length == 5
