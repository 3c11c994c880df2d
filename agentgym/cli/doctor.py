"""`agentgym doctor`: say what this machine has and what is missing."""

import click

from agentgym.cli import ExitCode
from agentgym.doctor import Status, examine

_COLOURS = {Status.OK: "green", Status.MISSING: "yellow", Status.BROKEN: "red"}


@click.command("doctor")
def command() -> int:
    """Say what this machine has, what is missing, and how to get it."""
    findings = examine()
    for finding in findings:
        status = click.style(f"{finding.status:8}", fg=_COLOURS[finding.status])
        remedy = f"  ({finding.remedy})" if finding.remedy else ""
        click.echo(f"{status} {finding.part:16} {finding.detail}{remedy}")
    broken = any(finding.status is Status.BROKEN for finding in findings)
    return ExitCode.NO if broken else ExitCode.OK
