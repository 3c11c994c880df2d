"""`agentgym convert`: turn worked solutions into episodes to learn from."""

from dataclasses import asdict
from pathlib import Path

import click

from agentgym.cli import ExitCode
from agentgym.cli._rollout_options import COUNT, SEED, display, rollout_config
from agentgym.cli._run_folder import new_run, run_folder
from agentgym.config import parse_overrides
from agentgym.conversion import Conversion, LeftOut, Rewriter, convert
from agentgym.errors import UsageError
from agentgym.files import strict_json, write_atomically
from agentgym.store import Store

LEFT_OUT = "left_out.jsonl"


@click.command("convert")
@click.argument("env_id")
@click.argument("options", nargs=-1, metavar="[KEY=VALUE]…")
@click.option("--model", help="Who rewrites the solutions; the environment's rules by default.")
@click.option("--url", help="Where the model is, such as http://127.0.0.1:8000/v1.")
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="The model's.",
)
@click.option(
    "--max-tokens", type=COUNT, default=4096, show_default=True, help="The model's longest answer."
)
@click.option("--first", type=SEED, default=0, show_default=True, help="The first task.")
@click.option("--episodes", type=COUNT, help="How many tasks; all from the first by default.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--concurrency", type=COUNT, help="Episodes at once; as many as suit by default.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Run folder; runs/convert-<time>-<process> by default.",
)
@click.option("--quiet", is_flag=True, help="Plain lines, no progress bar.")
def command(
    env_id: str,
    options: tuple[str, ...],
    model: str | None,
    url: str | None,
    temperature: float,
    max_tokens: int,
    first: int,
    episodes: int | None,
    seed: int,
    concurrency: int | None,
    out: Path | None,
    quiet: bool,
) -> ExitCode:
    """Turn the worked solutions of ENV_ID's tasks into episodes, for sft to imitate.

    Options of the environment follow as KEY=VALUE, such as data=solutions.jsonl. The environment's
    rules turn each solution into actions, or a model behind an OpenAI-compatible URL does, with the
    key in OPENAI_API_KEY. The actions are then played, and what doesn't end well is left out.
    """
    rewriter = _rewriter(model, url, temperature, max_tokens)
    left_out: list[LeftOut] = []
    with new_run(run_folder(out, "convert"), "convert") as run, Store.writer(run.path) as writer:
        try:
            found = convert(
                env_id,
                rewriter,
                env_kwargs=parse_overrides(options),
                first=first,
                episodes=episodes,
                seed=seed,
                config=rollout_config(concurrency),
                writer=writer,
                on_left_out=left_out.append,
                display=display(quiet),
            )
        finally:  # after a Ctrl-C, too: what was kept is in the store already
            if left_out:
                lines = (strict_json(asdict(one)) + "\n" for one in left_out)
                write_atomically(run.path / LEFT_OUT, "".join(lines))
    return _told(found, run.path)


def _rewriter(
    model: str | None, url: str | None, temperature: float, max_tokens: int
) -> Rewriter | None:
    if (model is None) != (url is None):
        raise UsageError("A model is given by its name and its place: --model NAME --url URL")
    if model is None or url is None:
        return None
    from agentgym.chat_endpoint import ChatEndpoint

    return ChatEndpoint(url, model, temperature=temperature, max_tokens=max_tokens)


def _told(found: Conversion, path: Path) -> ExitCode:
    kept, left_out = len(found.kept), len(found.left_out)
    click.echo(f"{path}: {kept} trajectories of {kept + left_out} tasks")
    for reason, count in found.reasons.items():
        click.echo(f"  left out, {reason}: {count}")
    if left_out:
        click.echo(f"  each of them with its reason: {path / LEFT_OUT}")
    # A script that goes on with an empty run should stop.
    return ExitCode.OK if kept else ExitCode.FAILED
