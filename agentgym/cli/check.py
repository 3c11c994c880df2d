"""`agentgym check`: does an environment keep the contract?"""

import click

from agentgym.check import check
from agentgym.cli import ExitCode
from agentgym.config import parse_overrides


@click.command("check")
@click.argument("env_id")
@click.argument("options", nargs=-1, metavar="[KEY=VALUE]…")
def command(env_id: str, options: tuple[str, ...]) -> int:
    """Check ENV_ID against every rule of the environment contract.

    Options of the environment follow as KEY=VALUE, such as difficulty=tiny.
    """
    report = check(env_id, **parse_overrides(options))
    click.echo(str(report))
    return ExitCode.OK if report.passed else ExitCode.NO
