"""`agentgym serve mcp`: offer an environment's tools to MCP clients."""

import asyncio

import click

from agentgym.config import parse_overrides
from agentgym.errors import MissingDependencyError


@click.command("mcp")
@click.argument("env_id", metavar="ENV")
@click.option(
    "--http",
    "port",
    type=click.IntRange(1, 65535),
    help="Serve over HTTP on this port of 127.0.0.1, in the place of stdin and stdout.",
)
@click.argument("options", nargs=-1, metavar="[KEY=VALUE]…")
def mcp(env_id: str, port: int | None, options: tuple[str, ...]) -> None:
    """Offer the tools of ENV to an MCP client, which plays it.

    Options of the environment follow as KEY=VALUE.
    """
    try:
        from agentgym.env_mcp import EnvServer
    except ModuleNotFoundError as fault:
        if (fault.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        raise MissingDependencyError("mcp", "mcp") from fault
    server = EnvServer(env_id, **parse_overrides(options))
    if port is None:
        asyncio.run(server.run_stdio())
    else:
        asyncio.run(server.run_http(port, lambda url: click.echo(f"{env_id} at {url}")))
