"""`agentgym doctor`: say what this machine has and what is missing; try its sandboxes."""

import click

from agentgym.cli import ExitCode
from agentgym.config import parse_overrides
from agentgym.doctor import Status, examine
from agentgym.errors import UnknownNameError

_COLOURS = {Status.OK: "green", Status.MISSING: "yellow", Status.BROKEN: "red"}
_PARTS = ("sandbox",)


@click.command("doctor")
@click.argument("part", required=False)
@click.argument("backend", default="bubblewrap")
@click.argument("options", nargs=-1, metavar="[KEY=VALUE]…")
def command(part: str | None, backend: str, options: tuple[str, ...]) -> int:
    """Say what this machine has, what is missing, and how to get it.

    `doctor sandbox [BACKEND]` holds a sandbox to every rule, here and now; its options follow as
    KEY=VALUE.
    """
    if part is None:
        return _machine()
    if part not in _PARTS:
        raise UnknownNameError("part", part, _PARTS)
    from agentgym.sandbox_check import check_sandbox

    report = check_sandbox(backend, **parse_overrides(options))
    click.echo(str(report))
    return ExitCode.OK if report.passed else ExitCode.NO


def _machine() -> int:
    findings = examine()
    for finding in findings:
        status = click.style(f"{finding.status:8}", fg=_COLOURS[finding.status])
        remedy = f"  ({finding.remedy})" if finding.remedy else ""
        click.echo(f"{status} {finding.part:16} {finding.detail}{remedy}")
    broken = any(finding.status is Status.BROKEN for finding in findings)
    return ExitCode.NO if broken else ExitCode.OK
