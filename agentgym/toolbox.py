"""`Toolbox`: tools by name, and a turn's calls carried out.

    async with agentgym.Toolbox([agentgym.make_tool("python")]) as toolbox:
        results = await toolbox.call([ToolCall("python", {"code": "6 * 7"})], timeout=10)

Calls of one turn run at the same time, unless their tools name the same thing as `exclusive` (two
that share a sandbox do); those run one after the other, as they were written. The answers are in
the order of the calls, always.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Self

from agentgym.errors import TimeLimitError, UsageError
from agentgym.registry import tools as installed
from agentgym.tool import Tool, ToolCall, ToolResult, ToolSpec

__all__ = ["Toolbox", "make_tool"]

_GRACE_SECONDS = 15.0
"""What a tool may take beyond its time limit, to say that it ran out."""


class Toolbox:
    """Tools that a model may call.

    Args:
        tools: With names that differ.

    Raises:
        UsageError: If two have the same name.
    """

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        if len(self._tools) != len(tools):
            raise UsageError(f"Tools share a name: {[tool.spec.name for tool in tools]}")

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is told."""
        return tuple(tool.spec for tool in self._tools.values())

    async def call(self, calls: Sequence[ToolCall], *, timeout: float) -> list[ToolResult]:
        """Carry out a turn's calls, and answer them in their order.

        Args:
            calls: As the model wrote them.
            timeout: Seconds that each may take.

        Raises:
            InfraError: If what is below a tool failed.
        """
        before: dict[int, asyncio.Task[ToolResult]] = {}
        tasks: list[asyncio.Task[ToolResult]] = []
        try:
            async with asyncio.TaskGroup() as group:
                for call in calls:
                    shared = getattr(self._tools.get(call.name), "exclusive", None)
                    first = None if shared is None else before.get(id(shared))
                    tasks.append(group.create_task(self._one(call, timeout, first)))
                    if shared is not None:
                        before[id(shared)] = tasks[-1]
        except BaseExceptionGroup as faults:  # the first says why; the others were called off
            raise faults.exceptions[0] from None
        return [task.result() for task in tasks]

    async def close(self) -> None:
        """Close every tool; may be called more than once."""
        for tool in self._tools.values():
            await tool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _one(
        self, call: ToolCall, timeout: float, first: asyncio.Task[ToolResult] | None
    ) -> ToolResult:
        tool = self._tools.get(call.name)
        if tool is None:
            error = f"There is no tool {call.name!r:.80}. Tools: {', '.join(self._tools)}."
            return ToolResult(error, error=error)
        problem = tool.spec.problem(dict(call.arguments))
        if problem is not None:
            return ToolResult(problem, error=problem)
        if first is not None:
            await asyncio.wait([first])
        try:
            async with asyncio.timeout(timeout + _GRACE_SECONDS):
                return await tool.call(call.arguments, timeout=timeout)
        except TimeoutError:
            raise TimeLimitError("call", f"tool {call.name}", timeout + _GRACE_SECONDS) from None


def make_tool(name: str, **options: Any) -> Tool:
    """Make an installed tool.

    Args:
        name: As the entry-point group `agentgym.tools` has it.
        **options: What the tool takes.

    Raises:
        UnknownNameError: If there is no such tool.
        UsageError: If it has no such option.
        InfraError: If the machine can't run it.
    """
    made: Tool = installed.load(name)(**options)
    return made
