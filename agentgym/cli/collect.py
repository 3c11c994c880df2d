"""`agentgym collect`: run a policy and keep its trajectories."""

from pathlib import Path

import click

from agentgym.cli import ExitCode
from agentgym.cli._outcome import outcome
from agentgym.cli._rollout_options import (
    COUNT,
    display,
    policy_of,
    rollout_config,
    rollout_options,
    sampling,
)
from agentgym.cli._run_folder import new_run, run_folder
from agentgym.config import parse_overrides
from agentgym.evaluation import Evaluation
from agentgym.rollout import collect
from agentgym.store import Store


@click.command("collect")
@rollout_options
@click.option(
    "--group-size",
    type=COUNT,
    default=1,
    show_default=True,
    help="Episodes of one task and seed.",
)
def command(
    env_id: str,
    options: tuple[str, ...],
    policy: str,
    base_url: str | None,
    policy_options: tuple[str, ...],
    episodes: int,
    seed: int,
    concurrency: int | None,
    temperature: float,
    max_tokens: int,
    out: Path | None,
    quiet: bool,
    group_size: int,
) -> ExitCode:
    """Run a policy on ENV_ID and keep its trajectories.

    Options of the environment follow as KEY=VALUE. Tasks are drawn by seed.
    """
    actor = policy_of(policy, base_url, policy_options)
    with new_run(run_folder(out, "collect"), "collect") as run, Store.writer(run.path) as writer:
        trajectories = collect(
            env_id,
            actor,
            episodes,
            env_kwargs=parse_overrides(options),
            config=rollout_config(concurrency),
            sampling=sampling(temperature, max_tokens),
            seed=seed,
            group_size=group_size,
            writer=writer,
            display=display(quiet),
            label="collect",
        )
    solved = sum(t.success for t in trajectories)
    click.echo(f"{run.path}: {len(trajectories)} trajectories, {solved} successful")
    return outcome(Evaluation.of(trajectories))
