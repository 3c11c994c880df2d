"""`Attempts`: one episode, tried until it ends by itself or has failed too often.

Who is to blame decides. What the world does to an episode (`InfraError`: a worker died, a call ran
out of time) is tried again on a fresh worker, after a back-off; what the environment or the policy
got wrong is recorded and not tried again; what the caller got wrong is raised.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from importlib.metadata import version

from agentgym._deadlines import TaskLimit
from agentgym._warm_workers import WarmWorkers
from agentgym.episode import Episode, Gates
from agentgym.episode_spec import EpisodeSpec
from agentgym.errors import (
    EnvError,
    EpisodeStateError,
    InfraError,
    PolicyError,
    TimeLimitError,
    UsageError,
)
from agentgym.policy import Policy
from agentgym.rollout_config import RolloutConfig
from agentgym.seeding import stable_seed
from agentgym.stop_reason import StopReason
from agentgym.trajectory import Trajectory
from agentgym.workers import Stage

_log = logging.getLogger(__name__)
_AWAY_FROM_WORKER = frozenset({Stage.GENERATE, Stage.SCORE})

Score = Callable[[Trajectory], Awaitable[None]]
"""Judges a trajectory and may write rewards into it."""


class Attempts:
    """Runs episodes of one environment, each as often as it takes.

    Args:
        env_id: The environment, as trajectories name it.
        workers: Where its episodes run.
        config: Limits and retries.
        score: Called with every trajectory that ended by the model's doing.
    """

    def __init__(
        self, env_id: str, workers: WarmWorkers, config: RolloutConfig, score: Score | None
    ) -> None:
        self._env_id, self._workers, self._config, self._score = env_id, workers, config, score
        self._gates = Gates(config)
        self._meta = {"agentgym": version("agentgym-suite")}

    async def run(self, spec: EpisodeSpec, policy: Policy, *, index: int, seed: int) -> Trajectory:
        """Try an episode until it ends by itself, or has failed too often.

        Args:
            spec: Which episode.
            policy: Who acts.
            index: Its place in the collection.
            seed: The collection's; with the index, what a spec leaves open follows from it.

        Raises:
            UsageError: What the caller got wrong.
        """
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
                self._env_id,
                task_id="" if spec.task is None else str(spec.task),
                stop_reason=StopReason.INFRA_ERROR,
                turns=[],
                seed=env_seed,
                group_id=spec.group_id,
                attempts=len(faults) + 1,
                meta=self._meta | dict(spec.meta) | ({"faults": list(faults)} if faults else {}),
            )
            await self._try(trajectory, spec, policy, sampling_seed)
            infra = trajectory.stop_reason is StopReason.INFRA_ERROR
            if not infra or len(faults) == self._config.retries:
                return trajectory
            faults.append(trajectory.error or "")
            _log.info("%s, attempt %d: %s", self._env_id, len(faults), trajectory.error)
            await asyncio.sleep(self._config.backoff.seconds(len(faults), rng))

    async def _try(
        self, trajectory: Trajectory, spec: EpisodeSpec, policy: Policy, sampling_seed: int
    ) -> None:
        """Run an episode once; the trajectory says what became of it."""
        worker = await self._workers.acquire()
        episode = Episode(
            trajectory, spec, sampling_seed, worker, policy, self._config, self._gates
        )
        poison: str | None = "interrupted"
        try:
            await episode.play()
            poison = None
            if self._score is not None and trajectory.stop_reason.trainable:
                await self._judge(episode, self._score)
        except Exception as fault:
            trajectory.stop_reason = blame(fault, episode.stage)
            # It may have been set before the scoring failed.
            trajectory.success = False
            trajectory.error = f"{episode.stage}: {type(fault).__name__}: {fault}"
            # A worker whose policy failed is in the middle of an episode, and well.
            poison = None if episode.stage in _AWAY_FROM_WORKER else trajectory.error
        finally:
            policy.release(episode.key)
            self._workers.release(worker, poison=poison)

    async def _judge(self, episode: Episode, score: Score) -> None:
        episode.stage = Stage.SCORE
        limit = self._config.score_seconds
        async with self._gates.score:
            clock = TaskLimit(limit)
            try:
                with clock:
                    await score(episode.trajectory)
            except TimeoutError as fault:
                if not clock.expired:
                    raise
                raise TimeLimitError(Stage.SCORE, self._env_id, limit) from fault


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
