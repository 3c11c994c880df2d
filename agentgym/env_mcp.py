"""`EnvServer`: an environment's tools for any MCP client (Model Context Protocol).

A client begins an episode with `begin_episode` and then calls the environment's tools; each call is
a turn, and its answer what the environment shows. One server is one environment: clients that
share it take turns in the same episode.

    $ agentgym serve mcp agentgym/ALFWorld-v0 difficulty=tiny
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp_types import CallToolResult, ListToolsResult, TextContent
from mcp_types import Tool as Offered

from agentgym import registry
from agentgym.actions import ParsedAction
from agentgym.env import AgentEnv
from agentgym.errors import AgentGymError, UsageError
from agentgym.tool import ToolCall, ToolSpec

T = TypeVar("T")

BEGIN = ToolSpec(
    "begin_episode",
    "Begins an episode, in the place of one that is running, and shows the task.",
    {
        "type": "object",
        "properties": {
            "task": {"type": "string", "description": "a task's id; drawn by the seed if missing"},
            "seed": {"type": "integer", "minimum": 0, "description": "draws what is random"},
        },
        "additionalProperties": False,
    },
)
_TURN_SECONDS = 300.0


class EnvServer:
    """An environment behind an MCP server.

    Args:
        env_id: The environment's id.
        **options: The environment's options.

    Raises:
        UnknownNameError: If there is no such environment or option.
        UsageError: If one of its tools is called as ours is.
    """

    def __init__(self, env_id: str, **options: Any) -> None:
        # Of the formats, this one can write every call.
        given: dict[str, Any] = {**options, "action_format": "tool_call"}
        self._env = registry.make(env_id, **given)
        specs = (BEGIN, *self._env.tools)
        self._specs: Mapping[str, ToolSpec] = {spec.name: spec for spec in specs}
        if len(self._specs) != len(specs):
            raise UsageError(f"{env_id} has a tool named {BEGIN.name}, as the server has")
        self._running = False
        # Always the same thread, one call at a time: many an environment needs both.
        self._lane = ThreadPoolExecutor(1, "agentgym mcp env")
        about = getattr(self._env.unwrapped, "description", "")
        self.server: Server[Any] = Server(
            env_id,
            instructions=f"{about} Call {BEGIN.name} first.".strip(),
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    async def run_stdio(self) -> None:
        """Serve the client at the other end of stdin and stdout, until it leaves."""
        try:
            async with stdio_server() as (read, write):
                await self.server.run(read, write, self.server.create_initialization_options())
        finally:
            await self.aclose()

    async def run_http(self, port: int, begun: Callable[[str], None]) -> None:
        """Serve clients on this machine over streamable HTTP, until a signal comes.

        Args:
            port: On 127.0.0.1.
            begun: Told the URL.
        """
        import uvicorn

        app = self.server.streamable_http_app(host="127.0.0.1")
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning")
        begun(f"http://127.0.0.1:{port}/mcp")
        try:
            await uvicorn.Server(config).serve()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the environment."""
        await self._on_lane(self._env.close)
        self._lane.shutdown(wait=False)

    async def _list(self, *_: Any) -> ListToolsResult:
        offered = [
            Offered(
                name=spec.name,
                description=spec.description,
                input_schema=dict(spec.parameters),
            )
            for spec in self._specs.values()
        ]
        return ListToolsResult(tools=offered)

    async def _call(self, _: Any, request: Any) -> CallToolResult:
        arguments: dict[str, Any] = dict(request.arguments or {})
        spec = self._specs.get(request.name)
        if spec is None:
            return _failed(
                f"There is no tool {request.name!r:.80}. Tools: {', '.join(self._specs)}."
            )
        problem = spec.problem(arguments)
        if problem is not None:
            return _failed(problem)
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                if spec is BEGIN:
                    return await self._on_lane(lambda: self._begin(arguments))
                return await self._on_lane(lambda: self._turn(request.name, arguments))
        except TimeoutError:
            return _failed(f"The environment has not answered within {_TURN_SECONDS:g} s.")
        except AgentGymError as fault:
            return _failed(f"{fault} Call {BEGIN.name} to go on.")

    def _begin(self, arguments: dict[str, Any]) -> CallToolResult:
        options = {"task": arguments["task"]} if "task" in arguments else None
        observation, _ = self._env.reset(seed=arguments.get("seed"), options=options)
        self._running = True
        return CallToolResult(
            content=[TextContent(text=observation["text"])],
            structured_content={"task": self._env.task.id},
        )

    def _turn(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        if not self._running:
            return _failed(f"No episode is running. Call {BEGIN.name} first.")
        env: AgentEnv = self._env
        written = env.action_format.render(ParsedAction((ToolCall(name, arguments),)), env.tools)
        self._running = False  # should it raise, the episode can't go on
        observation, reward, terminated, truncated, info = env.step(written)
        self._running = not (terminated or truncated)
        text = observation["text"]
        if not self._running:
            text += f"\n\nThe episode is over: {info['stop_reason']}, reward {reward:g}."
        told = {
            "reward": reward,
            "terminated": terminated,
            "truncated": truncated,
            "success": info["success"],
            "action_error": info["action_error"],
        }
        return CallToolResult(content=[TextContent(text=text)], structured_content=told)

    async def _on_lane(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._lane, function)


def _failed(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], is_error=True)
