"""`EpisodeSpec`: which episode to run; `episode_specs` makes many, with seeds that count up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentgym.errors import UsageError
from agentgym.policy import Sampling


@dataclass(frozen=True, slots=True)
class EpisodeSpec:
    """Which episode to run.

    Attributes:
        task: The task's index or id; None lets the seed pick it.
        seed: For the environment's reset; None for one that follows from the collection's seed.
        group_id: Shared by episodes that are compared with each other.
        sampling: How the policy samples. Its seed, if set, is the episode's: every turn's own seed
            follows from it.
        options: Further options for the environment's reset.
        meta: Goes into the trajectory's `meta`; JSON values.
    """

    task: int | str | None = None
    seed: int | None = None
    group_id: str = ""
    sampling: Sampling | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])


def episode_specs(
    episodes: int,
    *,
    tasks: Sequence[int | str] | None = None,
    seed: int = 0,
    group_size: int = 1,
    sampling: Sampling | None = None,
) -> list[EpisodeSpec]:
    """Return specs whose seeds count up, one per group.

    Args:
        episodes: How many.
        tasks: Tasks to go through, round and round; None lets the seeds pick them.
        seed: The first group's.
        group_size: Consecutive episodes that share task and seed.
        sampling: How the policy samples.

    Raises:
        UsageError: If `tasks` is empty, the seed negative or a group smaller than one episode.
    """
    if tasks is not None and not tasks:
        raise UsageError("There are no tasks to go through; leave `tasks` out to let seeds pick.")
    if seed < 0:
        raise UsageError(f"An episode's seed is 0 or more, got {seed}")
    if group_size < 1:
        raise UsageError(f"group_size must be 1 or more, got {group_size}")
    specs: list[EpisodeSpec] = []
    for index in range(episodes):
        group = index // group_size
        task = None if tasks is None else tasks[group % len(tasks)]
        name = str(seed + group) if group_size > 1 else ""
        specs.append(EpisodeSpec(task, seed + group, name, sampling))
    return specs
