"""The `agentgym` program: one verb per file, loaded when it is asked for.

A verb parses, calls the library, and prints; no logic lives here. Verbs are imported lazily, so
that `agentgym --help` is quick and imports no torch. Exit codes are in `ExitCode`.
"""

import sys
from enum import IntEnum
from importlib import import_module

import click

from agentgym.errors import AgentGymError, StoreError, UnknownNameError, UsageError

VERBS = {
    "envs": "List the environments.",
    "play": "Play an environment in the terminal.",
    "check": "Run the conformance checks on an environment.",
    "eval": "Run a policy and print how well it does.",
    "collect": "Run a policy and keep its trajectories.",
    "convert": "Turn worked solutions into trajectories.",
    "train": "Train a policy.",
    "model": "Build a model.",
    "export": "Write a run's trajectories in another format.",
    "serve": "Serve something to others.",
    "doctor": "Say what this machine has and what is missing.",
    "demo": "Train a tiny model on ALFWorld with ARPO and show the curve.",
}


class ExitCode(IntEnum):
    """What the program's exit code means."""

    OK = 0
    """It worked."""
    NO = 1
    """It ran, and the answer is no: a check failed, the doctor found a needed part missing."""
    USAGE = 2
    """The request was wrong: usage, configuration, an unknown name, a missing extra."""
    FAILED = 3
    """Something failed on the way: a policy, an environment, a resource such as the disk."""
    INTERRUPTED = 130
    """Ctrl-C; what was finished is kept."""


class _Verbs(click.Group):
    """A command group that imports a verb's module when the verb is used, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which a newcomer needs them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb's command, which its module calls `command`."""
        if cmd_name not in VERBS:
            raise UnknownNameError("verb", cmd_name, VERBS)
        command: click.Command = import_module(f"agentgym.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="agentgym-suite", prog_name="agentgym")
def _program() -> None:
    """Environments and multi-turn reinforcement learning for LLM agents."""


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    try:
        result: object = _program.main(args=argv, prog_name="agentgym", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _fail("interrupted", ExitCode.INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as fault:
        click.echo(fault.ctx.get_help() if fault.ctx else "")
        return ExitCode.USAGE
    except click.ClickException as fault:
        return _fail(fault.format_message(), ExitCode.USAGE)
    except StoreError as fault:  # before its base: a full disk is no wrong request
        return _fail(f"{type(fault).__name__}: {fault}", ExitCode.FAILED)
    except UsageError as fault:
        return _fail(str(fault), ExitCode.USAGE)
    except AgentGymError as fault:
        return _fail(f"{type(fault).__name__}: {fault}", ExitCode.FAILED)
    except BrokenPipeError:
        # Whoever read our output has gone (as in `agentgym envs | head -1`): nothing is wrong.
        sys.stderr.close()
        return ExitCode.OK
    return ExitCode(result) if isinstance(result, int) else ExitCode.OK


def _fail(message: str, code: ExitCode) -> int:
    click.echo(f"agentgym: {message}", err=True)
    return code
