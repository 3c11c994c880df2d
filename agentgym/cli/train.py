"""`agentgym train`: train a policy."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from agentgym.cli._rollout_options import display
from agentgym.cli._run_folder import new_run, run_folder
from agentgym.config import dump_yaml, load
from agentgym.errors import UnknownNameError
from agentgym.progress import Progress
from agentgym.registry import trainers
from agentgym.run_dir import RunDir


@click.command("train")
@click.argument("algorithm")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]…")
@click.option(
    "--config",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="YAML file; may be given several times, later ones win.",
)
@click.option("--env", "env_id", help="Short for env.id=….")
@click.option("--model", help="Short for model.path=….")
@click.option("--preset", help="Named settings below your own, such as paper.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.")
@click.option(
    "--resume", type=click.Path(path_type=Path), help="Go on with the run in this folder."
)
@click.option("--dry-run", is_flag=True, help="Print the resolved configuration and stop.")
@click.option("--quiet", is_flag=True, help="Plain lines, no progress bar.")
def command(
    algorithm: str,
    overrides: tuple[str, ...],
    files: tuple[Path, ...],
    env_id: str | None,
    model: str | None,
    preset: str | None,
    out: Path | None,
    resume: Path | None,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Train with ALGORITHM (sft, filtered_bc, grpo, arpo, ppo, …).

    Settings come from the files and from KEY=VALUE, such as optimizer.lr=1e-6. A run that was
    stopped goes on with --resume RUN; its configuration is read from there.
    """
    trainer_class: Any = trainers.load(algorithm)
    base: dict[str, Any] = {}
    if preset is not None:
        if preset not in trainer_class.presets:
            raise UnknownNameError(f"preset of {algorithm}", preset, trainer_class.presets)
        base = trainer_class.presets[preset]
    if resume is not None:
        files = (RunDir.open(resume).config_file, *files)
    shorts = [f"env.id={env_id}"] * (env_id is not None) + [f"model.path={model}"] * bool(model)
    config = load(trainer_class.config_class, files, [*shorts, *overrides], base)
    if dry_run:
        click.echo(dump_yaml(config), nl=False)
        return
    verb = f"train {algorithm}"
    opened: AbstractContextManager[RunDir]
    if resume is not None:
        run = RunDir.resume(resume, command=verb, config=config, may_differ=("steps",))
        opened = nullcontext(run)
    else:
        opened = new_run(run_folder(out, algorithm), verb, config)
    with opened as run:
        click.echo(f"{verb}: {run.path}", err=True)
        trainer = trainer_class(config, run)
        with Progress(config.steps, algorithm, display=display(quiet)) as progress:
            metrics = trainer.train(resume=resume is not None, progress=progress)
    for name, value in sorted(metrics.items()):
        click.echo(f"{name:32} {value:.6g}")
