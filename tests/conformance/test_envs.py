"""The contract, rule by rule, on every environment that is registered, plain and wrapped."""

from functools import partial
from typing import Any

import pytest

import agentgym
from agentgym.check import RULES, check_rule
from agentgym.wrappers import (
    ClipObservation,
    FormatPenalty,
    HistoryWindow,
    PotentialShaping,
    TurnLimit,
)


def turns_left(observation: Any, info: Any) -> float:
    return -float(info["turn"])


WRAPPERS = [
    partial(TurnLimit, max_turns=40),
    partial(FormatPenalty, penalty=0.1),
    partial(PotentialShaping, potential=turns_left, weight=0.01),
    partial(HistoryWindow, turns=3),
    partial(ClipObservation, max_chars=4000),
]
# Of those that are one class, one: the pages differ, and have tests of their own.
PAGES = "agentgym/MiniWoB-"
IDS = [
    env_id
    for env_id in agentgym.list_envs()
    if env_id.startswith("agentgym/") and (not env_id.startswith(PAGES) or "ClickTest-" in env_id)
]


# Every episode of Browser has a context of its own, which takes half a second. What its actions may
# be in other formats is tested on MiniWoB, whose base and actions are the same; so are wrappers.
BROWSER = "agentgym/Browser-v0"
PAIRS = [
    (env_id, rule)
    for env_id in IDS
    for rule in RULES
    if env_id != BROWSER or not rule.startswith("hostile-") or rule == "hostile-plain"
]


def test_there_are_environments_to_check() -> None:
    assert "agentgym/ALFWorld-v0" in IDS


@pytest.mark.integration
@pytest.mark.parametrize(("env_id", "rule"), PAIRS)
def test_environment_keeps(env_id: str, rule: str) -> None:
    result = check_rule(rule, env_id)
    assert result.passed, result.detail


@pytest.mark.integration
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "other-process"])
@pytest.mark.parametrize("env_id", [each for each in IDS if each != BROWSER])
def test_wrapped_environment_keeps(env_id: str, rule: str) -> None:
    # Another process can't import this module's potential; the toys' tests cover wrappers there.
    result = check_rule(rule, env_id, wrappers=WRAPPERS)
    assert result.passed, result.detail
