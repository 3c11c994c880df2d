"""A typed function as a tool: its schema, its arguments, its time."""

import asyncio
import threading
import time
from typing import Any, Literal

import jsonschema
import pytest

import agentgym
from agentgym import FunctionTool, Tool, ToolResult, function_tool
from agentgym.errors import InfraError, UsageError


@function_tool
def weather(city: str, days: int = 1, unit: Literal["C", "F"] = "C") -> str:
    """Forecasts the weather
    of a city.

    Rain is told, too.

    Args:
        city: The city's name,
            as on a map.
        days (int): How many days ahead.

    Returns:
        A sentence.
    """
    return f"{city}: {20 + days}{unit}"


def answer(tool: Tool, arguments: dict[str, Any], timeout: float = 5.0) -> ToolResult:
    return asyncio.run(tool.call(arguments, timeout=timeout))


def test_the_schema_comes_from_signature_and_docstring() -> None:
    assert isinstance(weather, Tool)
    assert weather.spec.name == "weather"
    assert weather.spec.description == "Forecasts the weather of a city.\nRain is told, too."
    jsonschema.Draft202012Validator.check_schema(dict(weather.spec.parameters))
    assert weather.spec.parameters == {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "city": {"type": "string", "description": "The city's name, as on a map."},
            "days": {"type": "integer", "default": 1, "description": "How many days ahead."},
            "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
        },
        "required": ["city"],
    }


def test_it_is_still_the_function() -> None:
    assert weather("Oslo", days=2) == "Oslo: 22C"


def test_arguments_arrive_and_defaults_hold() -> None:
    assert answer(weather, {"city": "Oslo"}) == ToolResult("Oslo: 21C")
    assert answer(weather, {"city": "Oslo", "days": 3, "unit": "F"}).text == "Oslo: 23F"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "city"),
        ({"city": 7}, "city"),
        ({"city": "Oslo", "days": "soon"}, "days"),
        ({"city": "Oslo", "unit": "K"}, "unit"),
        ({"city": "Oslo", "colour": "red"}, "colour"),
    ],
)
def test_wrong_arguments_are_an_answer_that_names_the_field(
    arguments: dict[str, Any], named: str
) -> None:
    result = answer(weather, arguments)
    assert result.error == result.text
    assert result.text.startswith(f"weather: {named}: ")
    assert weather.spec.problem(arguments) is not None


def test_arguments_may_be_called_as_methods_of_pydantics_are() -> None:
    @function_tool
    def store(json: str, copy: bool, model_config: int) -> str:
        return f"{json} {copy} {model_config}"

    given = {"json": "{}", "copy": True, "model_config": 1}
    assert answer(store, given).text == "{} True 1"
    assert set(store.spec.parameters["properties"]) == set(given)


def test_what_json_can_hold_is_written_as_json() -> None:
    @function_tool(name="numbers", description="Counts.")
    async def count(to: int) -> list[int]:
        return list(range(to))

    assert (count.spec.name, count.spec.description) == ("numbers", "Counts.")
    assert answer(count, {"to": 3}).text == "[0, 1, 2]"


def test_a_tool_that_takes_too_long_is_an_error_for_the_model() -> None:
    release = threading.Event()

    @function_tool
    def slow() -> str:
        release.wait(60)
        return "late"

    began = time.monotonic()
    result = answer(slow, {}, timeout=0.05)
    assert result.error == "slow: no answer within 0.05 s"
    assert time.monotonic() - began < 30, "it waited for the thread"
    release.set()


def test_a_function_may_be_told_its_limit() -> None:
    @function_tool
    def told(word: str, *, timeout: float) -> str:
        return f"{word} {timeout:g}"

    assert set(told.spec.parameters["properties"]) == {"word"}
    assert told.spec.takes_only_text
    assert answer(told, {"word": "in"}, timeout=3).text == "in 3"


def test_a_fault_of_the_machinery_stays_one() -> None:
    @function_tool
    def broken() -> str:
        raise InfraError("the database is gone")

    with pytest.raises(InfraError, match="database"):
        answer(broken, {})


def test_a_signature_that_says_too_little_is_refused() -> None:
    def untyped(word): ...  # pyright: ignore

    def nameless(*words: str) -> str:
        return ""

    for function, says in ((untyped, "give word a type"), (nameless, r"\*words")):
        with pytest.raises(UsageError, match=says):
            FunctionTool(function)


def test_the_names_are_exported() -> None:
    assert agentgym.function_tool is function_tool
