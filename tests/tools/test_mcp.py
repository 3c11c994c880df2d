"""An MCP server's tools as ours, against a server that runs."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentgym import Tool, Toolbox, ToolCall, ToolResult, make_tool
from agentgym.errors import InfraError, UnknownNameError, UsageError
from agentgym.tools.mcp import McpServer

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).parents[1] / "support" / "mcp_arithmetic.py"
COMMAND = [sys.executable, str(SCRIPT)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen([*COMMAND, str(port)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/mcp"
    process.kill()
    process.wait(10)


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest) -> Iterator[McpServer]:
    where: Any = COMMAND if request.param == "stdio" else request.getfixturevalue("url")
    with McpServer(where, start_seconds=60) as connected:
        yield connected


def answer(tool: Tool, timeout: float = 30.0, **arguments: Any) -> ToolResult:
    return asyncio.run(tool.call(arguments, timeout=timeout))


def test_its_tools_are_tools(server: McpServer) -> None:
    assert {tool.spec.name for tool in server.tools} == {"add", "fail", "sleep", "die"}
    add = server.tool("add")
    assert isinstance(add, Tool)
    assert add.spec.description == "Adds two numbers."
    assert add.spec.parameters["required"] == ["a"]
    assert answer(add, a=2, b=3).text == "5"
    assert answer(add, a=2).text == "3"  # from another event loop than before
    with pytest.raises(UnknownNameError, match="add"):
        server.tool("ad")


def test_a_turns_calls_are_answered_in_order(server: McpServer) -> None:
    calls = [ToolCall("add", {"a": n}) for n in range(5)] + [ToolCall("add", {"a": "x"})]
    results = asyncio.run(Toolbox(server.tools).call(calls, timeout=30))
    assert [result.text for result in results[:5]] == ["1", "2", "3", "4", "5"]
    assert results[5].error == "add: a: 'x' is not of type 'integer'"


def test_what_goes_wrong_is_for_the_model_to_read(server: McpServer) -> None:
    failed = answer(server.tool("fail"), why="no reason")
    assert failed.error is not None
    assert answer(server.tool("add"), a="x").error is not None
    late = answer(server.tool("sleep"), timeout=0.2, seconds=2)
    assert late.error == "sleep: no answer within 0.2 s"


def test_a_server_that_dies_is_no_fault_of_the_models() -> None:
    with McpServer(COMMAND, start_seconds=60) as server:
        with pytest.raises(InfraError, match="lost"):
            answer(server.tool("die"))
        with pytest.raises((InfraError, UsageError)):
            answer(server.tool("add"), a=1)


def test_one_tool_can_have_a_connection_of_its_own() -> None:
    tool = make_tool("mcp", server=COMMAND, tool="add", start_seconds=60)
    assert answer(tool, a=1).text == "2"
    asyncio.run(tool.close())
    asyncio.run(tool.close())
    with pytest.raises(UsageError, match="closed"):
        answer(tool, a=1)


@pytest.mark.parametrize(
    ("where", "fault", "says"),
    [
        ("ftp://somewhere", UsageError, "a URL or a command"),
        ([], UsageError, "at least a name"),
        (["no-such-program"], InfraError, "No MCP server at no-such-program"),
        ([sys.executable, "-c", "pass"], InfraError, "No MCP server"),
    ],
)
def test_a_server_that_is_not_there_is_said_to_be(
    where: Any, fault: type[Exception], says: str
) -> None:
    with pytest.raises(fault, match=says):
        McpServer(where)


def test_nobody_at_the_port() -> None:
    with pytest.raises(InfraError, match="No MCP server"):
        McpServer(f"http://127.0.0.1:{free_port()}/mcp")


def test_a_server_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match=r"did not answer within 0\.5 s"):
        McpServer([sys.executable, "-c", "import sys; sys.stdin.read()"], start_seconds=0.5)
