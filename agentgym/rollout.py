"""`Collector`: many episodes at once, each at its own pace, on environments that are kept warm.

Every episode goes reset → generate → step → … → score by itself: no barrier, no lock-step, so a
slow environment delays nobody but its own episode. What the world does to an episode (`InfraError`:
a worker died, a call ran out of time) is tried again on a fresh worker, after a back-off, a bounded
number of times; what the environment or the policy got wrong is recorded and not tried again; what
the caller got wrong is raised. Given the seeds, the results are the same whatever the timing.

`collect` is the one-shot form. Nothing here waits without a limit.
"""

import asyncio
import logging
import os
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast

from agentgym._deadlines import TaskLimit
from agentgym.env import WorkerKind
from agentgym.episode import Episode, EpisodeSpec, Gates
from agentgym.errors import (
    EnvError,
    EpisodeStateError,
    InfraError,
    PolicyError,
    TimeLimitError,
    UsageError,
)
from agentgym.lockstep import Lockstep
from agentgym.policy import Policy, Sampling
from agentgym.pools import Pool, PoolConfig
from agentgym.progress import Display, EpisodeProgress
from agentgym.rollout_config import RolloutConfig
from agentgym.seeding import stable_seed
from agentgym.stop_reason import StopReason
from agentgym.trajectory import Trajectory
from agentgym.workers import EnvSource, Stage, Worker, env_label, make_worker, worker_kind

__all__ = [
    "collect",
    "Collector",
    "EpisodeSpec",
    "RolloutConfig",
    "Interrupted",
    "Writer",
    "episode_specs",
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
        score: Callable[[Trajectory], Awaitable[None]] | None = None,
    ) -> None:
        self.config = config = config or RolloutConfig()
        self.policy = self._actor = policy
        self.env_id = env_label(env)
        kwargs = dict(env_kwargs or {})
        if policy.wants_expert is not None:
            kwargs.setdefault("expert", policy.wants_expert)
        kind = config.worker or worker_kind(env)
        self.concurrency = config.concurrency or _suitable(kind)
        self._writer, self._score = writer, score
        self._meta = {"agentgym": version("agentgym-suite")}
        self._gates = Gates(config)
        self._results: dict[int, Trajectory] = {}
        self._make = partial(make_worker, kind, env, kwargs)
        # Made here so that the caller's mistakes are told here; used by the first episode.
        self._spare: Worker | None = self._make()
        self._workers: set[Worker] = {self._spare}
        self._pool = Pool(
            f"workers of {self.env_id}",
            self._new_worker,
            self._close_worker,
            _usable,
            PoolConfig(size=self.concurrency, close_seconds=config.close_seconds),
        )
        self._runner: asyncio.Runner | None = None
        self._hurried = False

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
        if _inside_a_loop():
            raise UsageError(
                "The plain form can't run inside a running event loop (as in a notebook); "
                "use `await collector.gather(specs)` and `await collector.aclose()`."
            )
        if self._runner is None:
            self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        runner = self._runner
        task: asyncio.Task[Any] | None = None

        async def main() -> T:
            nonlocal task
            task = asyncio.current_task()
            return await work()

        try:
            return runner.run(main())
        except KeyboardInterrupt:
            # The first Ctrl-C cancels the task and comes here once it has wound up; only a second
            # one comes earlier.
            self._hurried = task is not None and not task.done()
            raise

    def close(self) -> None:
        """Close all environments, within the time that closing one may take."""
        runner, self._runner = self._runner, None
        if runner is None:
            self._kill()
            return
        loop = runner.get_loop()
        try:
            if not self._hurried:
                runner.run(self._shut())
        finally:
            self._kill()
            # Not Runner.close: that waits for ever for tasks and threads that don't let go.
            loop.set_exception_handler(_ignore)
            loop.close()

    async def _shut(self) -> None:
        limit = self.config.close_seconds
        await self._pool.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}  # a policy's, most likely
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=limit)
        # A generator that can't be closed in time is left to its fate.
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await asyncio.get_running_loop().shutdown_asyncgens()

    # Asynchronous use.

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all environments, within the time that closing one may take."""
        try:
            await self._pool.close()
        finally:
            self._kill()

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
        self._actor = self.policy if lockstep is None else cast("Policy", lockstep)

        async def advance() -> None:
            try:
                for index, spec in waiting:
                    trajectory = await self._episode(index, spec, seed)
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

    # One episode.

    async def _episode(self, index: int, spec: EpisodeSpec, seed: int) -> Trajectory:
        """Try an episode until it ends by itself, or has failed too often."""
        sampling = spec.sampling
        sampling_seed = (
            stable_seed("sampling", sampling.seed)
            if sampling is not None and sampling.seed is not None
            else stable_seed("sampling", seed, index, spec.seed)
        )
        env_seed = stable_seed("env", seed, index) if spec.seed is None else spec.seed
        rng = random.Random(sampling_seed)
        faults: list[str] = []
        while True:
            trajectory = Trajectory(
                self.env_id,
                task_id="" if spec.task is None else str(spec.task),
                stop_reason=StopReason.INFRA_ERROR,
                turns=[],
                seed=env_seed,
                group_id=spec.group_id,
                attempts=len(faults) + 1,
                meta=self._meta | dict(spec.meta) | ({"faults": list(faults)} if faults else {}),
            )
            await self._try(trajectory, spec, sampling_seed)
            infra = trajectory.stop_reason is StopReason.INFRA_ERROR
            if not infra or len(faults) == self.config.retries:
                return trajectory
            faults.append(trajectory.error or "")
            _log.info("%s, attempt %d: %s", self.env_id, len(faults), trajectory.error)
            await asyncio.sleep(self.config.backoff.seconds(len(faults), rng))

    async def _try(self, trajectory: Trajectory, spec: EpisodeSpec, sampling_seed: int) -> None:
        """Run an episode once; the trajectory says what became of it.

        Raises:
            UsageError: What the caller got wrong.
        """
        worker = await self._pool.acquire()
        episode = Episode(
            trajectory, spec, sampling_seed, worker, self._actor, self.config, self._gates
        )
        poison: str | None = "interrupted"
        try:
            await episode.play()
            poison = None
            if self._score is not None and trajectory.stop_reason.trainable:
                await self._judge(episode, self._score)
        except Exception as fault:
            trajectory.stop_reason = blame(fault, episode.stage)
            trajectory.error = f"{episode.stage}: {type(fault).__name__}: {fault}"
            # A worker whose policy failed is in the middle of an episode, and well.
            poison = None if episode.stage in _AWAY_FROM_WORKER else trajectory.error
        finally:
            self.policy.release(episode.key)
            self._pool.release(worker, poison=poison)

    async def _judge(
        self, episode: Episode, score: Callable[[Trajectory], Awaitable[None]]
    ) -> None:
        episode.stage = Stage.SCORE
        limit = self.config.score_seconds
        async with self._gates.score:
            clock = TaskLimit(limit)
            try:
                with clock:
                    await score(episode.trajectory)
            except TimeoutError as fault:
                if not clock.expired:
                    raise
                raise TimeLimitError(Stage.SCORE, self.env_id, limit) from fault

    # Workers.

    async def _new_worker(self) -> Worker:
        worker, self._spare = self._spare or self._make(), None
        self._workers.add(worker)
        return worker

    async def _close_worker(self, worker: Worker) -> None:
        try:
            await worker.close(timeout=self.config.close_seconds)
        finally:
            self._workers.discard(worker)

    def _kill(self) -> None:
        """Give up whatever is left, without waiting."""
        self._pool.abandon()
        while self._workers:
            self._workers.pop().kill()

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


def episode_specs(
    episodes: int,
    *,
    tasks: Sequence[int | str] | None = None,
    seed: int = 0,
    group_size: int = 1,
    sampling: Sampling | None = None,
) -> list[EpisodeSpec]:
    """Return specs whose seeds count up from `seed`, one per group; arguments as of `collect`."""
    if tasks is not None and not tasks:
        raise UsageError("There are no tasks to go through; leave `tasks` out to let seeds pick.")
    specs: list[EpisodeSpec] = []
    for index in range(episodes):
        group = index // group_size
        task = None if tasks is None else tasks[group % len(tasks)]
        name = str(seed + group) if group_size > 1 else ""
        specs.append(EpisodeSpec(task, seed + group, name, sampling))
    return specs


def blame(fault: Exception, stage: Stage) -> StopReason:
    """Return whose failure ended an episode.

    Raises:
        Exception: The fault itself, if it is the caller's or ours.
    """
    if isinstance(fault, InfraError):
        return StopReason.INFRA_ERROR
    if isinstance(fault, EnvError | EpisodeStateError):
        return StopReason.ENV_ERROR
    if isinstance(fault, UsageError):
        raise fault
    if isinstance(fault, PolicyError) or stage is Stage.GENERATE:
        return StopReason.POLICY_ERROR
    raise fault


_AWAY_FROM_WORKER = frozenset({Stage.GENERATE, Stage.SCORE})


def _inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _ignore(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
    return None


async def _usable(worker: Worker) -> bool:
    return worker.broken is None and not worker.busy


def _suitable(kind: WorkerKind) -> int:
    cores = len(os.sched_getaffinity(0))
    return {WorkerKind.SHARED: 256, WorkerKind.THREAD: 64, WorkerKind.PROCESS: cores}[kind]
