"""A turn's calls: their order, their faults, their limits."""

import asyncio

import pytest

from agentgym import Toolbox, ToolCall, function_tool, make_tool
from agentgym.errors import InfraError, UnknownNameError, UsageError


def run(toolbox: Toolbox, *calls: ToolCall, timeout: float = 5.0) -> list[str]:
    return [r.text for r in asyncio.run(toolbox.call(calls, timeout=timeout))]


def test_answers_are_in_the_order_of_the_calls_whichever_is_first_to_end() -> None:
    ended: list[str] = []
    last = asyncio.Event()

    @function_tool
    async def wait(name: str) -> str:
        if name == "c":
            last.set()
        else:
            await last.wait()  # only calls that run at the same time come past this
        ended.append(name)
        return name

    calls = [ToolCall("wait", {"name": name}) for name in "abc"]
    assert run(Toolbox([wait]), *calls) == ["a", "b", "c"]
    assert ended[0] == "c"


def test_calls_that_share_something_run_one_after_the_other_as_written() -> None:
    log: list[str] = []

    @function_tool
    async def left(name: str) -> str:
        log.append(f"+{name}")
        await asyncio.sleep(0)
        log.append(f"-{name}")
        return name

    @function_tool
    async def right(name: str) -> str:
        log.append(f"+{name}")
        log.append(f"-{name}")
        return name

    left.exclusive = right.exclusive = "the one box"
    calls = [ToolCall("left", {"name": "a"}), ToolCall("right", {"name": "b"})]
    calls += [ToolCall("left", {"name": "c"})]
    assert run(Toolbox([left, right]), *calls) == ["a", "b", "c"]
    assert log == ["+a", "-a", "+b", "-b", "+c", "-c"]


def test_a_wrong_call_is_an_answer_and_the_others_are_carried_out() -> None:
    @function_tool
    def double(n: int) -> int:
        return 2 * n

    toolbox = Toolbox([double])
    calls = [ToolCall("double", {"n": "x"}), ToolCall("triple"), ToolCall("double", {"n": 2})]
    assert run(toolbox, *calls) == [
        "double: n: 'x' is not of type 'integer'",
        "There is no tool 'triple'. Tools: double.",
        "4",
    ]
    assert [spec.name for spec in toolbox.specs] == ["double"]


def test_a_fault_of_the_machinery_comes_out_as_itself() -> None:
    @function_tool
    def broken() -> str:
        raise InfraError("the index is gone")

    with pytest.raises(InfraError, match="index"):
        run(Toolbox([broken, function_tool(lambda_free)]), ToolCall("broken"))


def lambda_free() -> str:
    return ""


def test_names_differ_and_exist() -> None:
    with pytest.raises(UsageError, match="share a name"):
        Toolbox([function_tool(lambda_free), function_tool(lambda_free)])
    with pytest.raises(UnknownNameError, match="python"):
        make_tool("pyton")
