"""The tools in a real sandbox."""

import asyncio
from typing import Any

import pytest

import agentgym
from agentgym import Tool, Toolbox, ToolCall, ToolResult, make_tool
from agentgym.errors import ConfigError, UnknownNameError, UsageError
from agentgym.registry import tools

NAMES = ("python", "shell", "files", "submit_answer")


def answer(tool: Tool, timeout: float = 10.0, **arguments: Any) -> ToolResult:
    return asyncio.run(tool.call(arguments, timeout=timeout))


def test_the_answer_is_there_for_whoever_judges_it() -> None:
    assert answer(make_tool("submit_answer"), answer="42").data == {"answer": "42"}


def test_tools_are_found_by_name() -> None:
    assert set(NAMES) <= set(tools.names())
    with pytest.raises(UnknownNameError, match="bubblewrap"):
        make_tool("python", sandbox="bubblewarp")
    with pytest.raises(ConfigError, match="memory_mb"):
        make_tool("python", memory_gb=1)


@pytest.mark.integration
@pytest.mark.parametrize("name", NAMES)
def test_every_tool_keeps_the_protocol(name: str) -> None:
    tool = make_tool(name)
    try:
        assert isinstance(tool, Tool)
        assert tool.spec.name == name
        assert all("description" in about for about in tool.spec.parameters["properties"].values())
        wrong = answer(tool, nonsense=1)
        assert wrong.error is not None
        assert "nonsense" in wrong.error
    finally:
        asyncio.run(tool.close())
        asyncio.run(tool.close())


@pytest.mark.integration
def test_python_shows_what_a_notebook_would() -> None:
    async def play() -> None:
        tool = make_tool("python")
        assert (await tool.call({"code": "print(1)\n6 * 7"}, timeout=10)).text == "1\n42"
        failed = await tool.call({"code": "x = 1\nx / 0"}, timeout=10)
        assert failed.error == failed.text
        assert "line 2" in failed.text
        assert failed.text.endswith("ZeroDivisionError: division by zero")
        late = await tool.call({"code": "while True: pass"}, timeout=0.3)
        assert late.error == "Stopped: it ran for longer than 0.3 s."
        assert (await tool.call({"code": "x"}, timeout=10)).error is not None
        await tool.close()
        with pytest.raises(UsageError, match="closed"):
            await tool.call({"code": "1"}, timeout=10)

    asyncio.run(play())


@pytest.mark.integration
def test_names_stay_where_that_is_asked_for() -> None:
    tool = make_tool("python", stateful=True)
    assert answer(tool, code="x = 20").text == ""
    assert answer(tool, code="x + 1").text == "21"
    asyncio.run(tool.close())


@pytest.mark.integration
def test_tools_can_share_a_box_and_keep_the_order_of_their_calls() -> None:
    with agentgym.make_sandbox() as box:
        toolbox = Toolbox([make_tool(name, sandbox=box) for name in ("python", "shell", "files")])
        calls = [
            ToolCall("files", {"action": "write", "path": "in/a.txt", "content": "grüße\n"}),
            ToolCall("shell", {"command": "cat in/a.txt in/a.txt > b; echo done"}),
            ToolCall("python", {"code": "len(open('b').read())"}),
            ToolCall("files", {"action": "read", "path": "b"}),
            ToolCall("files", {"action": "list"}),
            ToolCall("files", {"action": "list", "path": "in"}),
        ]
        texts = [r.text for r in asyncio.run(toolbox.call(calls, timeout=10))]
        assert texts == [
            "Wrote 8 bytes to in/a.txt.",
            "done",
            "12",
            "grüße\ngrüße\n",
            "b\nin/",
            "a.txt",
        ]
        asyncio.run(toolbox.close())
        assert box.exec("1").ok, "a shared box is its maker's to close"
        with pytest.raises(UsageError, match="takes no options"):
            make_tool("python", sandbox=box, memory_mb=64)


@pytest.mark.integration
def test_what_goes_wrong_in_the_box_is_told() -> None:
    shell, files = make_tool("shell"), make_tool("files")
    assert answer(shell, command="echo a; exit 3").error == "a\nEnded with exit code 3."
    assert answer(shell, command="sleep 60", timeout=0.3).error is not None
    for arguments in (
        {"action": "read", "path": "none"},
        {"action": "read", "path": "."},
        {"action": "list", "path": "-none"},
        {"action": "write", "path": "/etc/passwd", "content": "x"},
        {"action": "read", "path": "a\0b"},
    ):
        assert answer(files, **arguments).error, arguments
    for text in ("\ud800", "\0", "x" * 200_000):
        answer(shell, command=text)
        answer(files, action="write", path="a", content=text)
    for tool in (shell, files):
        asyncio.run(tool.close())
