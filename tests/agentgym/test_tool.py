"""What a tool's spec says to templates, to formats and to a model that called it wrongly."""

import copy
import json
import pickle

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.tool import ToolSpec

SAY = ToolSpec.text("say", "Says something.", "words", "what to say")
CLICK = ToolSpec(
    "click",
    "Clicks.",
    {
        "type": "object",
        "properties": {
            "at": {"type": "array", "items": {"type": "integer"}, "minItems": 2},
            "button": {"enum": ["left", "right"]},
        },
        "required": ["at"],
    },
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(json_values | st.fixed_dictionaries({"at": json_values}, optional={"button": json_values}))
def test_a_problem_is_named_exactly_when_the_schema_is_broken(arguments: object) -> None:
    valid = jsonschema.Draft202012Validator(dict(CLICK.parameters)).is_valid(arguments)
    assert (CLICK.problem(arguments) is None) == valid


@given(json_values | st.dictionaries(st.sampled_from(["words", "x"]), json_values))
def test_the_short_cut_for_texts_agrees_with_the_schema(arguments: object) -> None:
    strict = ToolSpec(
        "say",
        "",
        {**SAY.parameters, "properties": {"words": {"type": "string", "maxLength": 1}}},
    )
    for spec in (SAY, strict):
        valid = jsonschema.Draft202012Validator(dict(spec.parameters)).is_valid(arguments)
        assert (spec.problem(arguments) is None) == valid


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "click: 'at' is a required property"),
        ({"at": [1, "2"]}, "click: at.1: '2' is not of type 'integer'"),
        ({"at": [1, 2], "button": "middle"}, "click: button: 'middle' is not one of"),
    ],
)
def test_a_problem_says_where_and_what(arguments: dict[str, object], said: str) -> None:
    problem = CLICK.problem(arguments)
    assert problem is not None
    assert problem.startswith(said)


def test_a_problem_with_a_megabyte_stays_short() -> None:
    problem = CLICK.problem({"at": "x" * 1_000_000})
    assert problem is not None
    assert len(problem) < 300


def test_the_text_argument_is_the_one_required_string() -> None:
    optional = {"type": "object", "properties": {"code": {"type": "string"}, "t": {}}}
    run = ToolSpec("run", "Runs.", {**optional, "required": ["code"]})
    assert (SAY.text_argument, SAY.takes_only_text) == ("words", True)
    assert (run.text_argument, run.takes_only_text) == ("code", False)
    assert (CLICK.text_argument, CLICK.takes_only_text) == (None, False)


def test_the_openai_shape_is_plain_json() -> None:
    spec = SAY.openai()
    assert spec["function"]["parameters"]["required"] == ["words"]
    assert json.loads(json.dumps(spec)) == spec


def test_a_spec_that_was_used_still_travels() -> None:
    assert CLICK.problem({}) is not None
    for twin in (pickle.loads(pickle.dumps(CLICK)), copy.deepcopy(CLICK)):
        assert twin == CLICK
        assert twin.problem({}) == CLICK.problem({})
