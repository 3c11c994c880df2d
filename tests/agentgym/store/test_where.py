"""Conditions as they are written on a command line."""

from dataclasses import replace

import pytest
from store_cases import episode

from agentgym.errors import UnknownNameError, UsageError
from agentgym.store import Summary, parse_conditions

SUMMARY = Summary.of(episode(17))  # success, step 2, group-4


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("success=true", True),
        ("success != true", False),
        ("step>=2", True),
        ("step>2", False),
        ("step<2.5", True),
        ("step<=1", False),
        ("env_id=test/*", True),
        ("env_id!=test/*", False),
        ("env_id=test", False),
        ("stop_reason=success", True),
        ("stop_reason=*_limit", False),
        ("seed=17", True),
        ("seed=none", False),
        ("seed!=none", True),
        ("group_id=group-[45]", True),
        ("reward>-1e3", True),
    ],
)
def test_a_condition(text, holds):
    assert parse_conditions([text])(SUMMARY) is holds


def test_conditions_hold_together():
    assert parse_conditions(["success=true", "step=2"])(SUMMARY)
    assert not parse_conditions(["success=true", "step=3"])(SUMMARY)
    assert parse_conditions([])(SUMMARY)


@pytest.mark.parametrize("text", ["step<3", "step>=0", "step=0"])
def test_a_field_that_is_none_is_in_no_order(text):
    assert not parse_conditions([text])(replace(SUMMARY, step=None))


def test_a_field_that_is_none_can_be_asked_for():
    assert parse_conditions(["step=none"])(replace(SUMMARY, step=None))


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("sucess=true", UnknownNameError, "did you mean 'success'"),
        ("metrics=1", UnknownNameError, "no field 'metrics'"),
        ("success", UsageError, "has the form field=value"),
        ("step<null", UsageError, "null is in no order"),
        ("success=maybe", UsageError, "must be true or false"),
        ("step=soon", UsageError, "must be a number"),
    ],
)
def test_what_can_not_be_read_is_said(text, kind, message):
    with pytest.raises(kind, match=message):
        parse_conditions([text])
