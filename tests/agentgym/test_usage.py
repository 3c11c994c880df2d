"""What answers used, and what that costs."""

from types import SimpleNamespace
from typing import Any

import pytest

from agentgym.errors import UsageError
from agentgym.policies.scripted import RandomPolicy
from agentgym.usage import Meter, Metered, Price, Usage


def test_answers_add_up() -> None:
    meter = Meter(Price.of((0.5, 2)))
    assert meter.usage == Usage(dollars=0.0)
    meter.count(SimpleNamespace(prompt_tokens=1_000_000, completion_tokens=10))
    meter.count(SimpleNamespace(prompt_tokens=0, completion_tokens=500_000))
    assert meter.usage == Usage(2, 1_000_000, 500_010, 0, 0.5 + 1.00002)


@pytest.mark.parametrize("told", [None, 3, SimpleNamespace(prompt_tokens=3, completion_tokens="x")])
def test_what_is_not_told_is_not_counted_as_nothing(told: Any) -> None:
    meter = Meter()
    meter.count(told)
    meter.count(SimpleNamespace(prompt_tokens=2, completion_tokens=1))
    assert meter.usage == Usage(2, 2, 1, unmetered=1)
    assert meter.usage.dollars is None


@pytest.mark.parametrize("pair", [3, "ab", (1,), (1, 2, 3), (-1, 1), (1, float("nan")), [None, 1]])
def test_what_is_no_price(pair: Any) -> None:
    with pytest.raises(UsageError, match="two numbers, in dollars per million"):
        Price.of(pair)


def test_most_policies_cost_nothing() -> None:
    assert not isinstance(RandomPolicy(), Metered)
