"""`call`: `tool("text", option=1)`, written as a call in Python, which is BrowserGym's format.

Arguments are literals, by position in the order of the tool's schema or by name. Nothing is run:
the text is parsed, and only constants, lists, dicts and negative numbers are read.
"""

import ast
import re
from collections.abc import Sequence
from typing import Any

from agentgym.actions.base import (
    ParsedAction,
    checked,
    describe,
    render_thought,
    split_thought,
)
from agentgym.tool import ToolCall, ToolSpec

_FENCE = re.compile(r"```(?:python|tool_code)?\n?(.*?)```", re.DOTALL)
# A parser of nested text needs a stack, and a model may write a million brackets.
_LONGEST = 20_000  # characters
_MAX_NESTING = 50
_BRACKETS = re.compile(r"[\[\](){}]")


class Call:
    """One call or several, a line each, in a fenced block or by themselves."""

    name = "call"
    stop: tuple[str, ...] = ()

    def instructions(self, tools: Sequence[ToolSpec]) -> str:
        """Tell the model how a call is written."""
        return (
            "Answer with one call, written as in Python, such as "
            f"{_example(tools)}. What you can call:\n{describe(tools)}"
        )

    def parse(self, text: str, tools: Sequence[ToolSpec]) -> ParsedAction:
        """Read the calls; what stands before a fenced block is the thought."""
        hidden, rest = split_thought(text)
        fenced = _FENCE.search(rest)
        thought = hidden or (rest[: fenced.start()].strip() if fenced else "")
        source = (fenced[1] if fenced else rest).strip()
        if not source:
            return ParsedAction(thought=thought, error="No action: write a call such as noop().")
        nodes = _statements(source)
        if isinstance(nodes, str):
            return ParsedAction(thought=thought, error=nodes)
        calls: list[ToolCall] = []
        for node in nodes:
            call = _call(node, tools)
            if isinstance(call, str):
                return ParsedAction(tuple(calls), thought, call)
            calls.append(call)
        return checked(calls, thought, tools)

    def render(self, action: ParsedAction, tools: Sequence[ToolSpec]) -> str:
        """Write the calls, a line each."""
        return render_thought(action.thought) + "\n".join(_written(c, tools) for c in action.calls)


def _statements(source: str) -> list[ast.expr] | str:
    """Return the expressions of a source, or what is wrong with it."""
    if len(source) > _LONGEST or _nesting(source) > _MAX_NESTING:
        return "The action is too long, or nests too deeply."
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as fault:
        said = fault.msg if isinstance(fault, SyntaxError) else "it can't be read"
        return f"The action is no call as in Python: {said}."
    if not all(isinstance(statement, ast.Expr) for statement in body) or not body:
        return 'The action must be a call, such as tool("text").'
    return [statement.value for statement in body if isinstance(statement, ast.Expr)]


def _call(node: ast.expr, tools: Sequence[ToolSpec]) -> ToolCall | str:
    """Return the call that an expression is, or what is wrong with it."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return 'The action must be a call, such as tool("text").'
    name = node.func.id
    spec = next((tool for tool in tools if tool.name == name), None)
    if spec is None:
        return checked((ToolCall(name),), "", tools).error or ""
    names = list(spec.parameters.get("properties", {}))
    if len(node.args) > len(names):
        return f"{name} takes at most {len(names)} arguments, and got {len(node.args)}."
    if any(keyword.arg is None for keyword in node.keywords):
        return f"{name}: arguments can't be unpacked; write them out."
    given = [*zip(names, node.args, strict=False)]
    given += [(str(keyword.arg), keyword.value) for keyword in node.keywords]
    arguments: dict[str, Any] = {}
    for argument, value in given:
        if argument in arguments:
            return f"{name}: {argument} is given twice."
        try:
            arguments[argument] = _plain(ast.literal_eval(value))
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return f"{name}: {argument} must be a plain value; put texts into quotes."
    return ToolCall(name, arguments)


def _plain(value: object) -> Any:
    """Return a literal as JSON has it.

    Raises:
        ValueError: If JSON has no such value.
    """
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    finite = isinstance(value, float) and abs(value) < float("inf")
    if value is None or finite or isinstance(value, str | bool | int):
        return value
    raise ValueError(value)


def _nesting(source: str) -> int:
    depth = deepest = 0
    for bracket in _BRACKETS.findall(source):
        depth += 1 if bracket in "([{" else -1
        deepest = max(deepest, depth)
    return deepest


def _written(call: ToolCall, tools: Sequence[ToolSpec]) -> str:
    """Write a call: what comes first in the schema by position, as far as nothing is left out."""
    spec = next((tool for tool in tools if tool.name == call.name), None)
    names = list(spec.parameters.get("properties", {})) if spec else []
    left = dict(call.arguments)
    words: list[str] = []
    for name in names:
        if name not in left:
            break
        words.append(_literal(left.pop(name)))
    words += [f"{name}={_literal(value)}" for name, value in left.items()]
    return f"{call.name}({', '.join(words)})"


def _literal(value: object) -> str:
    try:
        return repr(value)
    except RecursionError:  # no schema has what is nested so deeply
        return "None"


def _example(tools: Sequence[ToolSpec]) -> str:
    with_text = [tool for tool in tools if tool.text_argument is not None]
    return f'{with_text[0].name}("…")' if with_text else 'tool("…")'
