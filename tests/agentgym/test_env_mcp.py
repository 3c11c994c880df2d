"""An environment played by an MCP client."""

import asyncio
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest
import toy_envs
from mcp import Client, StdioServerParameters

from agentgym.env_mcp import EnvServer
from agentgym.errors import UnknownNameError

pytestmark = pytest.mark.integration


async def said(client: Client, tool: str, **arguments: Any) -> tuple[str, Any]:
    result = await client.call_tool(tool, arguments)
    return result.content[0].text, result.structured_content  # pyright: ignore


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_episode_is_played_by_calls(mode: str) -> None:
    async def play() -> None:
        server = EnvServer(toy_envs.COUNTER)
        async with Client(server.server, mode=mode) as client:
            listed = (await client.list_tools()).tools
            assert [tool.name for tool in listed] == ["begin_episode", "add", "say"]
            text, _ = await said(client, "add", number="1")
            assert text == "No episode is running. Call begin_episode first."
            text, told = await said(client, "begin_episode", task="goal-5", seed=1)
            assert text.startswith("Reach 5.")
            assert told == {"task": "goal-5"}
            text, told = await said(client, "say", words="hm")
            assert text == "You said: hm"
            assert told["reward"] == 0
            count = int((await said(client, "add", number="0"))[0].split()[-1].rstrip("."))
            text, told = await said(client, "add", number=str(5 - count))
            assert text == "The counter is at 5.\n\nThe episode is over: success, reward 1."
            assert told == {
                "reward": 1.0,
                "terminated": True,
                "truncated": False,
                "success": True,
                "action_error": None,
            }
            assert (await client.call_tool("add", {"number": "1"})).is_error
            # What is wrong is said, and the next call is served.
            assert (await said(client, "add", number=1))[0].startswith("add: number: 1 is not")
            assert "no task 'goal-77'" in (await said(client, "begin_episode", task="goal-77"))[0]
            assert (await said(client, "begin_episode"))[0].startswith("Reach ")
        await server.aclose()

    asyncio.run(play())


def test_the_command_serves_a_client_over_stdio() -> None:
    async def play() -> None:
        code = "from agentgym.cli import main; main()"
        arguments = ["-c", code, "serve", "mcp", "agentgym/ALFWorld-v0", "difficulty=tiny"]
        command = StdioServerParameters(command=sys.executable, args=arguments)
        async with Client(command, read_timeout_seconds=60) as client:
            text, told = await said(client, "begin_episode", seed=0)
            assert "Your task is to" in text
            text, told = await said(client, "action", command="look")
            assert told["action_error"] is None
            assert "middle of a room" in text

    asyncio.run(play())


def test_the_command_serves_clients_over_http() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = "from agentgym.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", "mcp", "agentgym/CodeMath-v0"]
    command += ["--http", str(port), "difficulty=tiny"]

    async def play(url: str) -> None:
        for _ in range(2):  # one client after the other
            async with Client(url, read_timeout_seconds=60) as client:
                text, _ = await said(client, "begin_episode", task="tiny/train/arithmetic/0")
                assert text == "332 * 372 + 929 = ?"
                text, _ = await said(client, "python", code="print(332 * 372 + 929)")
                assert text == "124433"
                _, told = await said(client, "submit_answer", answer=text)
                assert told["success"]

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        try:
            assert served.stdout is not None
            url = served.stdout.readline().split()[-1]
            assert url == f"http://127.0.0.1:{port}/mcp"
            asyncio.run(_reached(port))
            asyncio.run(play(url))
        finally:
            served.terminate()
            served.wait(30)


async def _reached(port: int) -> None:
    for _ in range(600):
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the server was never reached")


def test_an_environment_that_there_is_not() -> None:
    with pytest.raises(UnknownNameError, match="ALFWorld"):
        EnvServer("agentgym/ALFWrld-v0")
