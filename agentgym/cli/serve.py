"""`agentgym serve`: what others reach from outside. One sub-command for each server."""

import click

from agentgym.cli._serve_mcp import mcp
from agentgym.config import load
from agentgym.registry import missing_extras_named


@click.group("serve")
def command() -> None:
    """Serve something to others."""


command.add_command(mcp)


@command.command("sandbox")
@click.option("--backend", help="The sandbox that is lent; bubblewrap by default.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option("--token", envvar="AGENTGYM_TOKEN", help="Or AGENTGYM_TOKEN; a new one by default.")
@click.option("--no-auth", is_flag=True, help="Ask for no token; on loopback only.")
@click.option("--concurrency", type=int, help="Execs at once.")
@click.option("--queue", type=int, help="Requests that may wait.")
@click.option("--boxes", type=int, help="Boxes that are kept open.")
@click.option("--idle-seconds", type=float, help="An open box is closed after.")
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]…")
def sandbox(
    host: str,
    port: int,
    token: str | None,
    no_auth: bool,
    settings: tuple[str, ...],
    **short: str | float | None,
) -> None:
    """Lend sandboxes: `/v1/exec`, `/v1/boxes`, SandboxFusion's `/run_code`, `/metrics`.

    Every setting can be given as KEY=VALUE, such as most.memory_mb=4096; docs/serve.md has them.
    """
    with missing_extras_named():
        from agentgym.server.boxes import CLOSING_SECONDS, probe
        from agentgym.server.config import SandboxServerConfig
        from agentgym.server.sandbox_app import sandbox_app
        from agentgym.server.serving import chosen_token, only_from_here, serve

    named = {name: value for name, value in short.items() if value is not None}
    config = load(SandboxServerConfig, overrides=settings, base=named)
    chosen = chosen_token(host, token, auth=not no_auth)
    isolation = probe(config)
    app = sandbox_app(config, chosen, isolation)

    def begun(url: str) -> None:
        click.echo(f"Sandboxes at {url} (isolation: {isolation})")
        if chosen is None:
            click.echo("No token is asked for: every program on this machine can run code here.")
        elif token is None:
            click.echo(f"Token: {chosen}")

    serve(
        only_from_here(app.asgi, host) if chosen is None else app.asgi,
        host=host,
        port=port,
        begun=begun,
        stop=app.stop,
        grace_seconds=config.grace_seconds + CLOSING_SECONDS,
    )
