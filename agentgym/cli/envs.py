"""`agentgym envs`: list the environments."""

import click

from agentgym import registry
from agentgym.errors import UsageError


@click.command("envs")
@click.argument("env_id", required=False)
def command(env_id: str | None) -> None:
    """List the installed environments, or show ENV_ID in full."""
    if env_id is None:
        for known in registry.list_envs():
            click.echo(known)
        return
    registry.env_spec(env_id)
    if env_id not in registry.list_envs():
        raise UsageError(
            f"{env_id} is registered with Gymnasium and not with agentgym: there are no tasks, "
            "experts or instructions to show; `agentgym envs` lists what has them"
        )
    env = registry.make(env_id)
    try:
        limit = f"at most {env.max_turns} turns" if env.max_turns else "no turn limit"
        click.echo(f"{env_id}: {len(env.tasks)} tasks, {limit}")
        click.echo(f"experts: {', '.join(env.experts) or 'none'}")
        click.echo(f"\n{env.instructions}")
    finally:
        env.close()
