"""What a verb that runs episodes says of those that failed, and its exit code."""

import click

from agentgym.cli import ExitCode
from agentgym.evaluation import Evaluation


def outcome(result: Evaluation) -> ExitCode:
    """Say on standard error what failed most often, if anything did.

    Returns:
        FAILED where no episode ended by the policy's doing: there is nothing to judge or to learn
        from, and a script that goes on with it should stop.
    """
    failed = result.episodes - result.judged
    if not failed:
        return ExitCode.OK
    error, count = next(iter(result.errors.items()))
    # An environment's bug comes with the lines that it happened in.
    line = " ".join(error.split())
    click.echo(
        f"agentgym: {failed} of {result.episodes} episodes failed, {count} of them with: {line}",
        err=True,
    )
    return ExitCode.OK if result.judged else ExitCode.FAILED
