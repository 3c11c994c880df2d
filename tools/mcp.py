"""`McpServer`: the tools of an MCP server (Model Context Protocol) as ours.

    with McpServer(["python", "server.py"]) as server:  # or "http://127.0.0.1:8000/mcp"
        toolbox = Toolbox(server.tools)

The connection lives on a thread and an event loop of its own, as the protocol's client has to be
left by the task that entered it; the tools can be called from any loop. `make_tool("mcp", …)` gives
one tool with a connection of its own.
"""

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, Self

from mcp import Client, MCPError, StdioServerParameters
from mcp import Tool as Offered
from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT, CallToolResult, TextContent

from agentgym.errors import InfraError, UnknownNameError, UsageError
from agentgym.tool import ToolResult, ToolSpec

_GRACE_SECONDS = 10.0
_CLOSE_SECONDS = 25.0
_MOST_PAGES = 100


class McpServer:
    """A connection to an MCP server.

    Args:
        server: The URL of a server (streamable HTTP), or the command that starts one (stdio).
        env: Environment variables for the command, besides the few that it is given.
        cwd: Where the command runs.
        start_seconds: How long the server may take to answer at first.

    Attributes:
        tools: What it offers.

    Raises:
        UsageError: If the server is neither.
        InfraError: If it can't be reached.
    """

    def __init__(
        self,
        server: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        start_seconds: float = 30.0,
    ) -> None:
        self.name, target = _target(server, env, cwd)
        self._client: Client | None = None
        self._connection: asyncio.Task[Any] | None = None
        self._stop = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f"agentgym mcp {self.name}", daemon=True
        )
        self._thread.start()
        offered: Future[list[Offered]] = Future()
        self._submit(self._connect(target, offered))
        try:
            listed = offered.result(start_seconds)
        except TimeoutError:
            self.close()
            raise InfraError(
                f"The MCP server {self.name} did not answer within {start_seconds:g} s"
            ) from None
        except BaseException:
            self.close()
            raise
        self.tools = tuple(McpTool(self, one) for one in listed)

    def tool(self, name: str) -> "McpTool":
        """Return the tool of that name.

        Raises:
            UnknownNameError: If the server has none.
        """
        named = {tool.spec.name: tool for tool in self.tools}
        if name not in named:
            raise UnknownNameError(f"tool of {self.name}", name, named)
        return named[name]

    async def call(self, name: str, arguments: Mapping[str, Any], timeout: float) -> ToolResult:
        """Call a tool.

        Raises:
            UsageError: If the connection is closed.
            InfraError: If it is lost.
        """
        client = self._client
        if client is None:
            raise UsageError(f"The connection to {self.name} is closed; make another one")
        asked = client.call_tool(name, dict(arguments), read_timeout_seconds=timeout)
        try:
            async with asyncio.timeout(timeout + _GRACE_SECONDS):
                return _result(await asyncio.wrap_future(self._submit(asked)))
        except TimeoutError:
            raise InfraError(f"The MCP server {self.name} has hung in {name}") from None
        except MCPError as fault:
            if fault.code == CONNECTION_CLOSED:
                raise InfraError(f"The connection to {self.name} is lost: {fault}") from fault
            late = fault.code == REQUEST_TIMEOUT
            text = f"{name}: no answer within {timeout:g} s" if late else f"{name}: {fault.message}"
            return ToolResult(text, error=text)
        except (OSError, RuntimeError, ExceptionGroup) as fault:
            raise InfraError(f"The connection to {self.name} is lost: {fault}") from fault

    def close(self) -> None:
        """End the connection, and the server if it was started here; may be called again."""
        connected, self._client = self._client is not None, None
        if self._loop.is_closed():
            return
        with suppress(TimeoutError):
            self._submit(self._wind_up(hurry=not connected)).result(_CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(self, work: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _connect(
        self, target: str | StdioServerParameters, offered: Future[list[Offered]]
    ) -> None:
        self._connection = asyncio.current_task()
        try:
            async with Client(target) as client:
                tools = await _all_tools(client)
                self._client = client
                offered.set_result(tools)
                await self._stop.wait()
        except Exception as fault:
            if offered.done():
                raise
            what = _innermost(fault)
            offered.set_exception(InfraError(f"No MCP server at {self.name}: {what}"))

    async def _wind_up(self, *, hurry: bool) -> None:
        """Leave the connection; in a hurry where there is none yet."""
        connection = self._connection
        if connection is None:
            return
        self._stop.set()
        waits = {connection}
        if not hurry:
            _, waits = await asyncio.wait(waits, timeout=_GRACE_SECONDS)
        for task in waits:
            task.cancel()
        if waits:
            await asyncio.wait(waits, timeout=_GRACE_SECONDS)


class McpTool:
    """A tool of an MCP server.

    Args:
        server: Whose it is.
        offered: What the server says of it.
        owns_server: Whether closing it closes the connection.
    """

    def __init__(self, server: McpServer, offered: Offered, *, owns_server: bool = False) -> None:
        about = offered.description or offered.title or offered.name
        self.spec = ToolSpec(offered.name, about, offered.input_schema)
        self._server, self._offered, self._owns_server = server, offered, owns_server

    async def call(self, arguments: Mapping[str, Any], *, timeout: float) -> ToolResult:
        """Answer one call within `timeout` seconds; see `Tool`."""
        return await self._server.call(self.spec.name, arguments, timeout)

    async def close(self) -> None:
        """Close the connection, if it is the tool's own."""
        if self._owns_server:
            await asyncio.get_running_loop().run_in_executor(None, self._server.close)

    def owning(self) -> "McpTool":
        """Return the same tool, which closes the connection when it is closed."""
        return McpTool(self._server, self._offered, owns_server=True)


def mcp_tool(server: str | Sequence[str], tool: str, **options: Any) -> McpTool:
    """Return one tool of an MCP server, with a connection of its own.

    Args:
        server: As of `McpServer`.
        tool: The tool's name.
        **options: As of `McpServer`.

    Raises:
        UnknownNameError: If the server has no such tool.
        InfraError: If it can't be reached.
    """
    connection = McpServer(server, **options)
    try:
        return connection.tool(tool).owning()
    except BaseException:
        connection.close()
        raise


def _target(
    server: str | Sequence[str], env: Mapping[str, str] | None, cwd: str | None
) -> tuple[str, str | StdioServerParameters]:
    if isinstance(server, str):
        if not server.startswith(("http://", "https://")):
            raise UsageError(
                f"An MCP server is a URL or a command as a list, got {server!r}; a command is "
                "written [program, argument, …]"
            )
        return server, server
    if not server:
        raise UsageError("A command has at least a name")
    command, *arguments = server
    given = None if env is None else dict(env)
    return command, StdioServerParameters(command=command, args=arguments, env=given, cwd=cwd)


async def _all_tools(client: Client) -> list[Offered]:
    tools: list[Offered] = []
    ask = partial(client.list_tools)
    for _ in range(_MOST_PAGES):
        page = await ask()
        tools += page.tools
        if page.next_cursor is None:
            break
        ask = partial(client.list_tools, cursor=page.next_cursor)
    return tools


def _result(answer: CallToolResult) -> ToolResult:
    parts = [
        part.text if isinstance(part, TextContent) else f"[{getattr(part, 'mime_type', part.type)}]"
        for part in answer.content
    ]
    structured = answer.structured_content
    if not parts and structured is not None:
        parts = [json.dumps(structured, ensure_ascii=False)]
    text = "\n".join(parts)
    data = {} if structured is None else {"structured": structured}
    return ToolResult(text, (text or "It failed.") if answer.is_error else None, data)


def _innermost(fault: BaseException) -> BaseException:
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault
