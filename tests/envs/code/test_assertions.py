"""Tests cut into the calls that may be told and the verdict that stays here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.envs.code.assertions import Assertion
from agentgym.errors import DataError


@pytest.mark.parametrize(
    ("text", "calls", "good", "bad"),
    [
        ("assert f(3) == [1, 2]", ["f(3)"], [[1, 2]], [[2, 1]]),
        ("assert 4 == f(2), 'no'", ["f(2)"], [4], [5]),
        ("assert f(1) == f(2)", ["f(1)", "f(2)"], [0, 0], [0, 1]),
        ("assert set(f([1, 2])) == set([2, 1])", ["f([1, 2])"], [[1, 2]], [[1, 3]]),
        ("assert sorted(f(x=1), reverse=True) == [2, 1]", ["f(x=1)"], [[1, 2]], [[1]]),
        ("assert math.isclose(f(2), 1.5, rel_tol=0.1)", ["f(2)"], [1.45], [2.0]),
        ("assert isclose(f(2), 1.5)", ["f(2)"], [1.5], [1.6]),
        ("assert f('a') is None", ["f('a')"], [None], [0]),
        ("assert not f(1) and f(2)", ["f(1)", "f(2)"], [False, 1], [False, 0]),
        ("assert 1 < f(1) <= 10**3", ["f(1)"], [1000], [1001]),
        ("assert f(1) == {'a': (1, -2), 'b': {3}}", ["f(1)"], [{"a": (1, -2), "b": {3}}], [{}]),
        ("assert Box().grow(2).size() == 3", ["Box().grow(2).size()"], [3], [2]),
        ("assert abs(f(g(1)) - 2) < 1e-6", ["f(g(1))"], [2.0], [2.1]),
        ("assert f(1) == [0] * 3 + [1]", ["f(1)"], [[0, 0, 0, 1]], [[0]]),
        ("assert f(1) in (1, 2)", ["f(1)"], [2], [3]),
    ],
)
def test_calls_are_told_and_the_rest_is_kept(
    text: str, calls: list[str], good: list[object], bad: list[object]
) -> None:
    test = Assertion.parse(text)
    assert list(test.calls) == calls
    assert test.holds(good)
    assert not test.holds(bad)


@pytest.mark.parametrize(
    "text",
    [
        "f(1) == 2",
        "assert f(1) == 2; assert f(2) == 3",
        "assert True",
        "assert all(f(x) == x for x in [1])",
        "assert isinstance(f(1), int)",
        "assert f(1)[0] == 2",
        "assert [f(x) for x in [1]] == [1]",
        "assert f(1) == expected",
        "assert eval('f(1) == 2')",
        "assert (lambda: f(1))() == 2",
        "assert __import__('os').getcwd() == f(1)",
        "assert f(",
        "assert " + "(" * 1000,
    ],
)
def test_what_cannot_be_judged_apart_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        Assertion.parse(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=5,
)


@given(values)
def test_any_value_gets_a_verdict(value: object) -> None:
    for text in ("assert 2 ** f(1) > 1", "assert [0] * f(1) == []", "assert sorted(f(1)) < 3"):
        Assertion.parse(text).holds([value])
    assert not Assertion.parse("assert f(1) == 2").holds([])


def test_no_value_makes_the_host_work_hard() -> None:
    assert not Assertion.parse("assert 2 ** f(1) > 1").holds([10**9])
    assert not Assertion.parse("assert len([0] * f(1)) > 1").holds([10**12])
    assert not Assertion.parse("assert f(1) * 'ab' > 'a'").holds([10**12])
