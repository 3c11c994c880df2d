"""`agentgym serve`: what others reach from outside. One sub-command for each server."""

import click

from agentgym.cli._serve_mcp import mcp


@click.group("serve")
def command() -> None:
    """Serve something to others."""


command.add_command(mcp)
