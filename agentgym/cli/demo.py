"""`agentgym demo`: train a tiny model on ALFWorld with ARPO and show the curve."""

import time
from pathlib import Path

import click

from agentgym.cli._rollout_options import SEED, display
from agentgym.cli._run_folder import run_folder
from agentgym.evaluation import Evaluation


@click.command("demo")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder; runs/demo-<time>-<process> by default."
)
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--quiet", is_flag=True, help="Plain lines, no progress bar.")
def command(out: Path | None, seed: int, quiet: bool) -> None:
    """Train a tiny model on ALFWorld with ARPO, from nothing, and show the curve."""
    from agentgym.demo import run_demo

    started = time.monotonic()
    result = run_demo(run_folder(out, "demo"), seed=seed, display=display(quiet), tell=_tell)
    click.echo(f"\n{'on unseen rooms':22} {'success':>16} {'turns':>8} {'tokens':>8}")
    for name, evaluation in (("imitation", result.cold), ("imitation, then ARPO", result.trained)):
        click.echo(f"{name:22} {_row(evaluation)}")
    minutes = (time.monotonic() - started) / 60
    click.echo(f"\nsuccess rose by {result.gain:.1f} points, in {minutes:.1f} minutes")
    click.echo(f"curve: {result.plot or 'install matplotlib to draw it'}")
    click.echo(f"runs:  {result.folder}")


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _row(evaluation: Evaluation) -> str:
    success = f"{100 * evaluation.success.mean:.1f}% ± {100 * evaluation.success.stderr:.1f}"
    return f"{success:>16} {evaluation.turns.mean:8.1f} {evaluation.tokens.mean:8.1f}"
