"""`agentgym eval`: run a policy and print how well it does."""

from pathlib import Path

import click

from agentgym.cli import ExitCode
from agentgym.cli._outcome import outcome
from agentgym.cli._rollout_options import (
    display,
    policy_of,
    rollout_config,
    rollout_options,
    sampling,
)
from agentgym.cli._run_folder import new_run, run_folder
from agentgym.config import parse_overrides
from agentgym.evaluation import Estimate, evaluate
from agentgym.store import Store
from agentgym.usage import Metered, Usage


@click.command("eval")
@rollout_options
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
) -> ExitCode:
    """Run a policy on ENV_ID, print a table, and keep the trajectories.

    Options of the environment follow as KEY=VALUE, such as split=valid_unseen difficulty=tiny.
    """
    actor = policy_of(policy, base_url, policy_options)
    with new_run(run_folder(out, "eval"), "eval") as run, Store.writer(run.path) as writer:
        result = evaluate(
            env_id,
            actor,
            episodes,
            env_kwargs=parse_overrides(options),
            seed=seed,
            sampling=sampling(temperature, max_tokens),
            config=rollout_config(concurrency),
            writer=writer,
            display=display(quiet),
        )
    rows = [
        ("episodes", f"{result.judged} judged of {result.episodes}"),
        ("success", _percent(result.success)),
        ("reward", _plain(result.reward)),
        ("turns", _plain(result.turns)),
        ("tokens", _plain(result.tokens)),
        ("seconds/episode", f"{result.seconds:.3g}"),
        *((f"stop/{reason}", str(count)) for reason, count in result.stops.items()),
        *((f"env/{name}", f"{value:.3g}") for name, value in result.metrics.items()),
    ]
    click.echo(f"{env_id} with {policy}")
    for name, value in rows:
        click.echo(f"  {name:18} {value}")
    click.echo(f"  {'trajectories':18} {run.path}")
    if isinstance(actor, Metered):
        for name, value in _used(actor.usage):
            click.echo(f"  {name:18} {value}")
    return outcome(result)


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.mean:.1f}% ± {100 * estimate.stderr:.1f}"


def _used(usage: Usage) -> list[tuple[str, str]]:
    rows = [
        ("requests", f"{usage.requests:,}"),
        ("prompt tokens", f"{usage.prompt_tokens:,}"),
        ("completion tokens", f"{usage.completion_tokens:,}"),
    ]
    if usage.unmetered:
        rows.append(("not counted", f"the tokens of {usage.unmetered:,} requests"))
    if usage.dollars is not None:
        rows.append(("cost", f"${usage.dollars:.4f}"))
    return rows


def _plain(estimate: Estimate) -> str:
    return f"{estimate.mean:.3g} ± {estimate.stderr:.2g}"
