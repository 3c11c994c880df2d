"""`evaluate`: run a policy on an environment and say how well it does, with its uncertainty.

Means are over episodes that ended by the model's doing; what the world or the policy's machinery
broke is counted beside them and judged as neither success nor failure. Tasks are independent, the
episodes of one task are not: a split that is gone through five times says little more than once, so
standard errors are clustered by task.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentgym import registry
from agentgym.errors import UsageError
from agentgym.policy import Policy, Sampling
from agentgym.progress import Display
from agentgym.rollout import RolloutConfig, Writer, collect
from agentgym.stop_reason import StopReason
from agentgym.task import TaskSet
from agentgym.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its standard error; nan where there is nothing to take it over."""

    mean: float
    stderr: float

    @classmethod
    def of(cls, values: Sequence[float], clusters: Sequence[str] | None = None) -> "Estimate":
        """Return the mean of values that are independent, or that are in independent clusters.

        With n values x in C clusters and S_c the sum of x - mean within cluster c, the standard
        error is sqrt(C / (C - 1) * sum of S_c^2) / n: that of cluster-robust regression (Liang and
        Zeger 1986, doi:10.1093/biomet/73.1.13) on a constant. With one value per cluster it is the
        usual one. One cluster has no standard error, however many values are in it.

        Args:
            values: The values.
            clusters: Which cluster each value is in; None for one of its own.
        """
        if not values:
            return cls(float("nan"), float("nan"))
        array = np.asarray(values, np.float64)
        mean = float(array.mean())
        members = np.arange(len(array)) if clusters is None else np.asarray(clusters)
        names, which = np.unique(members, return_inverse=True)
        count = len(names)
        if count < 2:
            return cls(mean, float("nan"))
        sums = np.bincount(which, weights=array - mean)
        return cls(mean, float((count / (count - 1) * (sums**2).sum()) ** 0.5 / len(array)))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a policy did.

    Attributes:
        episodes: How many were run.
        judged: How many ended by the model's doing; the estimates are over these, their standard
            errors clustered by task.
        success: Fraction solved.
        reward: Sum of an episode's rewards.
        turns: Length in turns.
        tokens: Sampled tokens; 0 for policies without tokens.
        stops: How often each stop reason occurred, the commonest first.
        errors: How often each error ended an episode that is not judged, the commonest first.
        seconds: Mean wall-clock length of an episode.
        metrics: Means of the environment's own figures.
    """

    episodes: int
    judged: int
    success: Estimate
    reward: Estimate
    turns: Estimate
    tokens: Estimate
    stops: Mapping[StopReason, int]
    errors: Mapping[str, int]
    seconds: float
    metrics: Mapping[str, float]

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory]) -> "Evaluation":
        """Return the evaluation of these episodes."""
        judged = [t for t in trajectories if t.stop_reason.trainable]
        broken = [t for t in trajectories if not t.stop_reason.trainable]
        names = sorted({name for t in judged for name in t.metrics})
        # A foreign environment names no tasks; nothing is known to tie its episodes together.
        tasks = [t.task_id or t.id for t in judged]
        return cls(
            episodes=len(trajectories),
            judged=len(judged),
            success=Estimate.of([float(t.success) for t in judged], tasks),
            reward=Estimate.of([t.reward for t in judged], tasks),
            turns=Estimate.of([len(t.turns) for t in judged], tasks),
            tokens=Estimate.of([t.sampled_tokens for t in judged], tasks),
            stops=dict(Counter(t.stop_reason for t in trajectories).most_common()),
            errors=dict(Counter(t.error or str(t.stop_reason) for t in broken).most_common()),
            seconds=float(np.mean([t.seconds for t in judged])) if judged else 0.0,
            metrics={
                n: float(np.mean([t.metrics[n] for t in judged if n in t.metrics])) for n in names
            },
        )


def evaluate(
    env_id: str,
    policy: Policy,
    episodes: int,
    *,
    env_kwargs: Mapping[str, Any] | None = None,
    seed: int = 0,
    sampling: Sampling | None = None,
    config: RolloutConfig | None = None,
    writer: Writer | None = None,
    display: Display | None = None,
) -> Evaluation:
    """Run a policy on the first tasks of an environment, round and round if there are too few.

    An environment without tasks, such as a foreign one, has its episodes drawn by their seeds.

    Args:
        env_id: The environment's id.
        policy: Who acts; stays open.
        episodes: How many.
        env_kwargs: The environment's options.
        seed: Seeds the environments and the sampling.
        sampling: How the policy samples.
        config: Concurrency, limits, retries.
        writer: Gets every trajectory as it ends.
        display: How progress is shown; None for a bar on a terminal and lines elsewhere.

    Raises:
        UnknownNameError: If there is no such environment.
        UsageError: If it does not take these options, or there are no episodes to run.
    """
    if episodes < 1:
        raise UsageError(f"An evaluation takes 1 episode or more, got {episodes}")
    env = registry.make(env_id, **(env_kwargs or {}))
    known: TaskSet | None = getattr(env.unwrapped, "tasks", None)
    tasks = None if known is None else range(min(episodes, len(known)))
    env.close()
    return Evaluation.of(
        collect(
            env_id,
            policy,
            episodes,
            env_kwargs=env_kwargs,
            config=config,
            sampling=sampling,
            tasks=tasks,
            seed=seed,
            writer=writer,
            display=display,
            label="eval",
        )
    )
