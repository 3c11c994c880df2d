"""Options that `eval`, `collect` and `play` share, and how they become library objects."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from agentgym.config import parse_overrides
from agentgym.policies import make_policy
from agentgym.policy import Policy, Sampling
from agentgym.progress import Display
from agentgym.rollout import RolloutConfig

F = TypeVar("F", bound=Callable[..., Any])

COUNT = click.IntRange(min=1)
SEED = click.IntRange(min=0)  # Gymnasium takes none below

_OPTIONS = (
    click.argument("env_id"),
    click.argument("options", nargs=-1, metavar="[KEY=VALUE]…"),
    click.option(
        "--policy",
        required=True,
        help="An expert's name, random, human, a Hugging Face folder or id, openai:MODEL.",
    ),
    click.option("--base-url", help="Where openai:MODEL is, such as http://127.0.0.1:8000/v1."),
    click.option(
        "--policy-option",
        "policy_options",
        multiple=True,
        metavar="KEY=VALUE",
        help="An argument of the policy; may be repeated.",
    ),
    click.option("--episodes", type=COUNT, default=100, show_default=True),
    click.option("--seed", type=SEED, default=0, show_default=True),
    click.option("--concurrency", type=COUNT, help="Episodes at once; as many as suit by default."),
    click.option(
        "--temperature",
        type=click.FloatRange(min=0),
        default=1.0,
        show_default=True,
        help="0 is greedy.",
    ),
    click.option(
        "--max-tokens",
        type=COUNT,
        default=64,
        show_default=True,
        help="Longest answer, in tokens.",
    ),
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        help="Run folder; runs/<verb>-<time>-<process> by default.",
    ),
    click.option("--quiet", is_flag=True, help="Plain lines, no progress bar."),
)


def rollout_options(function: F) -> F:
    """Add the shared options to a verb."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def policy_of(spec: str, base_url: str | None, options: Sequence[str]) -> Policy:
    """Return the policy with its arguments."""
    named = {} if base_url is None else {"base_url": base_url}
    return make_policy(spec, **{**parse_overrides(options), **named})


def rollout_config(concurrency: int | None) -> RolloutConfig:
    """Return the rollout's configuration."""
    return RolloutConfig(concurrency=concurrency)


def sampling(temperature: float, max_tokens: int) -> Sampling:
    """Return how the policy samples."""
    return Sampling(temperature=temperature, max_tokens=max_tokens)


def display(quiet: bool) -> Display | None:
    """Return how progress is shown; None for what suits the terminal."""
    return Display.LINES if quiet else None
