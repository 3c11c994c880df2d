"""`Collector`: many episodes at once, each at its own pace, on environments that are kept warm.

Every episode goes reset → generate → step → … → score by itself: no barrier, no lock-step, so a
slow environment delays nobody but its own episode. What becomes of one that fails is said in
`_attempts`; where environments wait for the next episode, in `_warm_workers`. Given the seeds, the
results are the same whatever the timing.

`collect` is the one-shot form. Nothing here waits without a limit.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast

from agentgym._attempts import Attempts, Score
from agentgym._own_loop import OwnLoop
from agentgym._warm_workers import WarmWorkers
from agentgym.episode_spec import EpisodeSpec, episode_specs
from agentgym.lockstep import Lockstep
from agentgym.policy import Policy, Sampling
from agentgym.progress import Display, EpisodeProgress
from agentgym.rollout_config import RolloutConfig
from agentgym.trajectory import Trajectory
from agentgym.workers import EnvSource, env_label

__all__ = [
    "collect",
    "Collector",
    "EpisodeSpec",
    "RolloutConfig",
    "Interrupted",
    "Writer",
]

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C came while episodes were running.

    Args:
        finished: The trajectories that had ended, in the order of their specs.
    """

    def __init__(self, finished: list[Trajectory]) -> None:
        super().__init__(f"interrupted after {len(finished)} episodes")
        self.finished = finished


class Writer(Protocol):
    """Where finished trajectories go; a `StoreWriter` is one."""

    def add(self, trajectory: Trajectory, /) -> object:
        """Keep a trajectory."""
        ...


class Collector:
    """Runs episodes of one environment with one policy.

    Use it as a context manager, plainly or asynchronously; environments stay open from one call to
    the next. The plain form has an event loop of its own: `collect`, `run`. The asynchronous form
    lives in the caller's: `gather`, `aclose`.

    Args:
        env: The environment's id, or what makes one.
        env_kwargs: Arguments for making it.
        policy: Who acts; stays the caller's, to be closed by it.
        config: Concurrency, limits, retries.
        writer: Gets every trajectory as it ends.
        score: Called with every trajectory that ended by the model's doing, before it counts as
            finished; may write rewards. An `InfraError` from it is treated as the environment's.

    Raises:
        UsageError: If there is no such environment or it can't live where it should.
    """

    def __init__(
        self,
        env: EnvSource,
        env_kwargs: Mapping[str, Any] | None,
        policy: Policy,
        config: RolloutConfig | None = None,
        *,
        writer: Writer | None = None,
        score: Score | None = None,
    ) -> None:
        self.config = config = config or RolloutConfig()
        self.policy = policy
        self.env_id = env_label(env)
        kwargs = dict(env_kwargs or {})
        if policy.wants_expert is not None:
            kwargs.setdefault("expert", policy.wants_expert)
        self._workers = WarmWorkers(env, kwargs, config, at_most=policy.episodes_at_once)
        self._attempts = Attempts(self.env_id, self._workers, config, score)
        self._writer = writer
        self._results: dict[int, Trajectory] = {}
        self._loop = OwnLoop()

    @property
    def concurrency(self) -> int:
        """Episodes at a time."""
        return self._workers.concurrency

    @property
    def finished(self) -> list[Trajectory]:
        """What the latest call has finished, in the order of the specs; kept when it fails."""
        return [self._results[index] for index in sorted(self._results)]

    # Plain use.

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def collect(
        self,
        specs: Sequence[EpisodeSpec],
        on_episode: Callable[[Trajectory], None] | None = None,
        *,
        seed: int = 0,
    ) -> list[Trajectory]:
        """Run episodes and return their trajectories in the order of the specs.

        Args:
            specs: Which episodes.
            on_episode: Told of each trajectory as it ends.
            seed: What everything random follows from that a spec leaves open.

        Raises:
            Interrupted: On Ctrl-C; has the finished trajectories. A second one doesn't wait for
                anything to wind up.
            UsageError: If a task or an option doesn't exist, or inside a running event loop.
        """
        try:
            return self.run(lambda: self.gather(specs, on_episode, seed=seed))
        except KeyboardInterrupt as stop:
            raise Interrupted(self.finished) from stop

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine function on the collector's event loop, such as `policy.close`.

        Args:
            work: Called on the loop; what it gives is awaited.

        Raises:
            UsageError: Inside a running event loop.
        """
        return self._loop.run(work)

    def close(self) -> None:
        """Close all environments, within the time that closing one may take."""
        try:
            self._loop.finish(self._workers.close, self.config.close_seconds)
        finally:
            self._workers.kill()
            self._loop.close()

    # Asynchronous use.

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all environments, within the time that closing one may take."""
        try:
            await self._workers.close()
        finally:
            self._workers.kill()

    async def gather(
        self,
        specs: Sequence[EpisodeSpec],
        on_episode: Callable[[Trajectory], None] | None = None,
        *,
        seed: int = 0,
    ) -> list[Trajectory]:
        """Do what `collect` does; a cancelled call leaves what had ended in `finished`."""
        self._results = results = dict[int, Trajectory]()
        if not specs:
            return []
        waiting = iter(enumerate(specs))
        lines = min(self.concurrency, len(specs))
        lockstep = Lockstep(self.policy, lines) if self.config.deterministic else None
        actor = self.policy if lockstep is None else cast("Policy", lockstep)

        async def advance() -> None:
            try:
                for index, spec in waiting:
                    trajectory = await self._attempts.run(spec, actor, index=index, seed=seed)
                    results[index] = trajectory
                    if self._writer is not None:
                        self._writer.add(trajectory)
                    if on_episode is not None:
                        on_episode(trajectory)
            finally:
                if lockstep is not None:
                    lockstep.leave()

        tasks = [asyncio.create_task(advance()) for _ in range(lines)]
        try:
            # Not asyncio.gather: when cancelled, that waits for tasks which may not let go.
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in ended:
                task.result()
        except (Exception, asyncio.CancelledError):
            await self._wind_up(tasks)
            raise
        return self.finished

    async def _wind_up(self, tasks: Sequence["asyncio.Task[None]"]) -> None:
        running = [task for task in tasks if not task.done()]
        if not running:
            return
        for task in running:
            task.cancel()
        _, stuck = await asyncio.wait(running, timeout=self.config.close_seconds)
        if stuck:
            name = type(self.policy).__name__
            _log.warning("%d episodes of %s don't let go of %s", len(stuck), self.env_id, name)


def collect(
    env: EnvSource,
    policy: Policy,
    episodes: int,
    *,
    env_kwargs: Mapping[str, Any] | None = None,
    config: RolloutConfig | None = None,
    sampling: Sampling | None = None,
    tasks: Sequence[int | str] | None = None,
    seed: int = 0,
    group_size: int = 1,
    writer: Writer | None = None,
    display: Display | None = None,
    label: str = "episodes",
) -> list[Trajectory]:
    """Run episodes of an environment and show the progress.

    Args:
        env: The environment's id, or what makes one.
        policy: Who acts.
        episodes: How many.
        env_kwargs: Arguments for making the environment.
        config: Concurrency, limits, retries.
        sampling: How the policy samples.
        tasks: Tasks to go through, round and round; None lets the seeds pick them.
        seed: The first episode's (or group's) seed; the others' follow, one by one.
        group_size: Consecutive episodes that share task and seed.
        writer: Gets every trajectory as it ends.
        display: How progress is shown; None for a bar on a terminal and lines elsewhere.
        label: What the progress is called.

    Returns:
        The trajectories, in order.

    Raises:
        Interrupted: On Ctrl-C; has the finished trajectories.
        UsageError: If there is no such environment, option or task.
    """
    specs = episode_specs(
        episodes, tasks=tasks, seed=seed, group_size=group_size, sampling=sampling
    )
    with (
        Collector(env, env_kwargs, policy, config, writer=writer) as collector,
        EpisodeProgress(len(specs), label, display=display) as progress,
    ):
        return collector.collect(specs, progress, seed=seed)
