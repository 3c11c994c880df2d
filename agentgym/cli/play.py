"""`agentgym play`: play an environment in the terminal."""

from pathlib import Path

import click

from agentgym.cli import ExitCode
from agentgym.cli._outcome import outcome
from agentgym.cli._rollout_options import SEED
from agentgym.cli._run_folder import new_run, run_folder
from agentgym.config import parse_overrides
from agentgym.evaluation import Evaluation
from agentgym.policies import make_policy
from agentgym.progress import Display
from agentgym.rollout import RolloutConfig, collect
from agentgym.stop_reason import StopReason
from agentgym.store import Store

# A person thinks longer than a model, and may leave the table.
_THINKING_SECONDS = 3600.0


@click.command("play")
@click.argument("env_id")
@click.argument("options", nargs=-1, metavar="[KEY=VALUE]…")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Picks the task.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Run folder; runs/play-<time>-<process> by default.",
)
@click.option("--headed", is_flag=True, help="Show the browser's window; the same as headed=true.")
def command(
    env_id: str, options: tuple[str, ...], seed: int, out: Path | None, headed: bool
) -> ExitCode:
    """Play an episode of ENV_ID yourself; /hint shows what the expert would do, /quit leaves.

    Options of the environment follow as KEY=VALUE, such as difficulty=tiny. The episode is kept
    like any other, so what you play can be learnt from.
    """
    given = parse_overrides(options) | ({"headed": True} if headed else {})
    config = RolloutConfig(concurrency=1, generate_seconds=_THINKING_SECONDS)
    with new_run(run_folder(out, "play"), "play") as run, Store.writer(run.path) as writer:
        (trajectory,) = collect(
            env_id,
            make_policy("human", hints=True),
            1,
            env_kwargs=given,
            config=config,
            seed=seed,
            writer=writer,
            display=Display.OFF,
        )
    click.echo(f"\n{trajectory.final_observation}" if trajectory.final_observation else "")
    turns = len(trajectory.turns)
    left = trajectory.stop_reason is StopReason.POLICY_ERROR  # as a player may
    click.echo(
        f"{'left' if left else trajectory.stop_reason} after {turns} "
        f"turn{'' if turns == 1 else 's'}, reward {trajectory.reward:g}"
    )
    click.echo(f"kept in {run.path}")
    if left:
        return ExitCode.OK
    return outcome(Evaluation.of([trajectory]))
