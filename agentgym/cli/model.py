"""`agentgym model`: build a model."""

from pathlib import Path

import click

from agentgym.cli._rollout_options import COUNT, SEED
from agentgym.config import parse_overrides


@click.group("model")
def command() -> None:
    """Build a model."""


@command.command("tiny")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--env", "env_id", default="agentgym/ALFWorld-v0", show_default=True)
@click.option(
    "--episodes", type=COUNT, default=200, show_default=True, help="Expert episodes to read."
)
@click.option("--hidden", default=128, show_default=True, help="Width.")
@click.option("--layers", default=4, show_default=True, help="Depth.")
@click.option("--vocab", default=4096, show_default=True, help="Most tokens.")
@click.option("--digits", is_flag=True, help="A token for each digit, not for each number.")
@click.option("--vision", is_flag=True, help="A Qwen3-VL-shaped one, which sees images.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seeds the weights.")
@click.argument("options", nargs=-1, metavar="[KEY=VALUE]…")
def tiny(
    folder: Path,
    env_id: str,
    episodes: int,
    hidden: int,
    layers: int,
    vocab: int,
    digits: bool,
    vision: bool,
    seed: int,
    options: tuple[str, ...],
) -> None:
    """Build a small Qwen3-shaped model with random weights in FOLDER.

    Its tokenizer is trained on what the environment and its expert write. Options of the
    environment follow as KEY=VALUE. The folder is an ordinary Hugging Face one.
    """
    from agentgym.models.texts import expert_texts
    from agentgym.models.tiny import build_tiny

    texts = expert_texts(env_id, episodes, seed=seed, **parse_overrides(options))
    built = build_tiny(
        folder,
        texts,
        hidden=hidden,
        layers=layers,
        vocab=vocab,
        digits=digits,
        vision=vision,
        seed=seed,
    )
    click.echo(f"{built.folder}: {built.parameters:,} parameters, {built.vocabulary:,} tokens")
