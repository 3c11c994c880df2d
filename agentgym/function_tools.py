"""`function_tool`: a typed Python function as a tool.

The JSON schema comes from the signature, the descriptions from a docstring in Google's style, and
pydantic checks the arguments: what is wrong with them is an answer that names the argument, for the
model to read.

    @agentgym.function_tool
    def weather(city: str, days: int = 1) -> str:
        \"\"\"Forecasts the weather.

Args:
            city: The city's name.
            days: How many days ahead.
        \"\"\"

A keyword-only parameter `timeout` isn't the model's: it is given the seconds that the call may
take.
"""

import asyncio
import inspect
import json
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, cast, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.json_schema import GenerateJsonSchema

from agentgym.errors import TimeLimitError, UsageError
from agentgym.tool import ToolResult, ToolSpec

__all__ = ["FunctionTool", "function_tool"]

_TIMEOUT = "timeout"
_PREFIX = "of_"
_GRACE_SECONDS = 10.0
_SECTION = re.compile(r"^(\w[\w ]*):\s*$")
_ARGUMENT = re.compile(r"^ {4}\*{0,2}(\w+)(?: \([^)]*\))?:\s*(.*)$")
_SECTIONS = frozenset(
    {"Args", "Arguments", "Example", "Examples", "Note", "Notes", "Raises", "Returns", "Yields"}
)


class FunctionTool:
    """A function as a `Tool`.

    Called like the function, it is the function.

    Args:
        function: Typed, plain or async; returns a text, a `ToolResult`, or what JSON can hold.
        name: The tool's name; the function's if None.
        description: What the model is told; the docstring if None.

    Attributes:
        spec: What the model is told.
        exclusive: What no two calls may use at once; calls that name the same thing are carried out
            in the order in which they were written. None where calls don't get in each other's way.

    Raises:
        UsageError: If a parameter has no type, or can't be given by name.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
    ) -> None:
        self._function = function
        self.exclusive: object = None
        called = name or function.__name__
        told, about = _docstring(inspect.getdoc(function) or "")
        parameters = inspect.signature(function).parameters
        given = parameters.get(_TIMEOUT)
        self._takes_timeout = given is not None and given.kind is given.KEYWORD_ONLY
        self._arguments = _model(called, function, about)
        schema = self._arguments.model_json_schema(schema_generator=_Untitled)
        schema.pop("title", None)
        self.spec = ToolSpec(called, told if description is None else description, schema)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self._function(*args, **kwargs)

    async def call(self, arguments: Mapping[str, Any], *, timeout: float) -> ToolResult:
        """Answer one call within `timeout` seconds; see `Tool`.

        Raises:
            InfraError: If what is below the function failed, or it has hung.
        """
        try:
            read = self._arguments.model_validate(dict(arguments))
        except ValidationError as fault:
            return _failed(f"{self.spec.name}: {_problems(fault)}")
        given = {
            name.removeprefix(_PREFIX): getattr(read, name) for name in self._arguments.model_fields
        }
        # A function that knows its limit says itself that it ran out; one that doesn't even then
        # come back has hung, which no model is to blame for.
        limit = timeout
        if self._takes_timeout:
            given[_TIMEOUT] = timeout
            limit += _GRACE_SECONDS
        try:
            async with asyncio.timeout(limit):
                return _result(await self._run(given))
        except TimeoutError:
            if self._takes_timeout:
                raise TimeLimitError("call", f"tool {self.spec.name}", limit) from None
            return _failed(f"{self.spec.name}: no answer within {timeout:g} s")

    async def close(self) -> None:
        """Release what the tool holds: a function holds nothing."""

    async def _run(self, given: dict[str, Any]) -> Any:
        if inspect.iscoroutinefunction(self._function):
            return await self._function(**given)
        return await _beside(lambda: self._function(**given))


@overload
def function_tool(function: Callable[..., Any], /) -> FunctionTool: ...
@overload
def function_tool(
    *, name: str | None = None, description: str | None = None
) -> Callable[[Callable[..., Any]], FunctionTool]: ...
def function_tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
) -> FunctionTool | Callable[[Callable[..., Any]], FunctionTool]:
    """Make a tool of a function; a decorator, with or without options.

    Args:
        function: Typed, plain or async.
        name: The tool's name; the function's if None.
        description: What the model is told; the docstring if None.

    Raises:
        UsageError: If a parameter has no type, or can't be given by name.
    """
    if function is not None:
        return FunctionTool(function)
    return partial(FunctionTool, name=name, description=description)


class _Untitled(GenerateJsonSchema):
    """Leaves out the titles, which say again what the names say."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Say that it shouldn't."""
        return False


def _model(name: str, function: Callable[..., Any], about: Mapping[str, str]) -> type[BaseModel]:
    """Return the model of the arguments.

    Its fields have a prefix, since an argument may be called as a method of pydantic's is.
    """
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == _TIMEOUT and parameter.kind is parameter.KEYWORD_ONLY:
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UsageError(f"{name}: a tool's arguments have names, and {parameter} has none")
        if parameter.name not in hints:
            raise UsageError(f"{name}: give {parameter.name} a type; the schema is made of it")
        default = ... if parameter.default is parameter.empty else parameter.default
        told = Field(default=default, alias=parameter.name, description=about.get(parameter.name))
        fields[_PREFIX + parameter.name] = (hints[parameter.name], told)
    made: Any = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    return cast("type[BaseModel]", made)


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """Split a docstring into what it says of the function and of each argument."""
    told: list[str] = []
    about: dict[str, str] = {}
    section, argument = "", ""
    for line in text.splitlines():
        heading = _SECTION.match(line)
        if heading is not None and heading[1] in _SECTIONS:
            section, argument = heading[1], ""
        elif not section:
            told.append(line)
        elif section in ("Args", "Arguments"):
            if (named := _ARGUMENT.match(line)) is not None:
                argument = named[1]
                about[argument] = named[2].strip()
            elif argument and line.strip():
                about[argument] = f"{about[argument]} {line.strip()}".strip()
    paragraphs = "\n".join(told).strip().split("\n\n")
    return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs), about


def _problems(fault: ValidationError) -> str:
    """Say what is wrong with the arguments, each by its name."""
    said = [
        f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"
        for error in fault.errors(include_url=False, include_context=False, include_input=False)
    ]
    return "; ".join(said[:5])


def _failed(text: str) -> ToolResult:
    return ToolResult(text, error=text)


def _result(value: Any) -> ToolResult:
    if isinstance(value, ToolResult):
        return value
    if isinstance(value, str):
        return ToolResult(value)
    return ToolResult("" if value is None else json.dumps(value, ensure_ascii=False, default=str))


async def _beside(function: Callable[[], Any]) -> Any:
    """Run a function on a thread that nobody has to wait for, should it never end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def settle(value: Any, fault: BaseException | None) -> None:
        if not done.done():
            done.set_result(value) if fault is None else done.set_exception(fault)

    def run() -> None:
        value, fault = None, None
        try:
            value = function()
        except BaseException as raised:
            fault = raised
        with suppress(RuntimeError):  # nobody waits any more: the loop is closed
            loop.call_soon_threadsafe(settle, value, fault)

    threading.Thread(target=run, name="agentgym tool", daemon=True).start()
    return await done
