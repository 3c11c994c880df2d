import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agentgym.sandbox import ExecResult, Limit, SandboxSpec
from agentgym.server.messages import BoxRequest, ExecAnswer, ExecRequest, to_wire

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
RESULTS = st.builds(
    ExecResult,
    stdout=TEXT,
    stderr=TEXT,
    exit_code=st.integers(-64, 255),
    seconds=st.floats(0, 100),
    cpu_seconds=st.floats(0, 100),
    limit=st.none() | st.sampled_from(Limit),
    dropped=st.tuples(st.integers(0), st.integers(0)),
    value=st.none() | TEXT,
    figures=st.lists(st.binary(), max_size=2).map(tuple),
    files=st.dictionaries(TEXT, st.binary(), max_size=2),
    isolation=st.just("bubblewrap"),
    state_lost=st.booleans(),
)


@given(RESULTS)
def test_a_result_comes_back_as_it_was(result: ExecResult) -> None:
    text = json.dumps(ExecAnswer.of(result)).encode()
    assert ExecAnswer.result(text) == result
    assert ExecAnswer.result(text, "remote: x") == replace(result, isolation="remote: x")


def test_a_value_that_is_no_unicode_is_still_carried() -> None:
    told = ExecAnswer.of(ExecResult("", "", 0, 0.0, value="a\ud800"))
    assert ExecAnswer.result(json.dumps(told).encode()).value == "a?"


@given(
    st.dictionaries(TEXT, st.binary() | TEXT, max_size=3), st.booleans(), st.integers(16, 1 << 20)
)
def test_a_spec_comes_back_as_it_was(
    files: dict[str, bytes | str], stateful: bool, memory_mb: int
) -> None:
    lists: dict[str, Any] = {"modules": ("a", "b"), "network": ("a.org", "*.b.org:1")}
    spec = SandboxSpec(files=files, stateful=stateful, memory_mb=memory_mb, **lists)
    told = BoxRequest.model_validate_json(json.dumps(BoxRequest.of(spec)))
    assert dict(told) == dict(spec)


@pytest.mark.parametrize(
    "value", [{"base64": "?"}, {"base64": 1}, {"base64": "eA"}, {"b": ""}, {}, 1, None, ["a"]]
)
def test_what_is_neither_text_nor_bytes_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="stdin"):
        ExecRequest.model_validate({"code": "1", "stdin": value})


def test_bytes_are_told_from_text() -> None:
    assert to_wire("x") == "x"
    assert to_wire(b"\xff") == {"base64": "/w=="}
