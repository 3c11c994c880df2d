"""`WarmWorkers`: the workers of one environment, kept from episode to episode.

They come out of a `Pool`, which makes them as they are asked for and replaces those that failed.
Beside that they are all on a list: a program that leaves at once kills them without asking anybody.
"""

import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from agentgym.env import WorkerKind
from agentgym.pools import Pool, PoolConfig
from agentgym.rollout_config import RolloutConfig
from agentgym.workers import (
    EnvSource,
    Worker,
    env_label,
    episodes_at_once,
    make_worker,
    worker_kind,
)


class WarmWorkers:
    """The workers of one environment.

    Args:
        env: The environment's id, or what makes one.
        env_kwargs: Arguments for making it.
        config: How many, where they live, how long closing one may take.
        at_most: How many, where `config` leaves it open; None for what suits where they live.

    Raises:
        UsageError: If there is no such environment or it can't live where it should.
    """

    def __init__(
        self,
        env: EnvSource,
        env_kwargs: Mapping[str, Any],
        config: RolloutConfig,
        *,
        at_most: int | None = None,
    ) -> None:
        kind = config.worker or worker_kind(env, env_kwargs)
        suitable = episodes_at_once(env) or _suitable(kind)
        self.concurrency = config.concurrency or min(suitable, at_most or sys.maxsize)
        """Most workers at a time."""
        self._close_seconds = config.close_seconds
        self._make = partial(make_worker, kind, env, dict(env_kwargs))
        # Made here so that the caller's mistakes are told here; used by the first episode.
        self._spare: Worker | None = self._make()
        self._all: set[Worker] = {self._spare}
        self._pool = Pool(
            f"workers of {env_label(env)}",
            self._new,
            self._close,
            _usable,
            PoolConfig(size=self.concurrency, close_seconds=config.close_seconds),
        )

    async def acquire(self) -> Worker:
        """Borrow a worker; see `Pool.acquire`."""
        return await self._pool.acquire()

    def release(self, worker: Worker, *, poison: str | None) -> None:
        """Give one back.

        Args:
            worker: What `acquire` gave.
            poison: Why it must be replaced; None if it is well.
        """
        self._pool.release(worker, poison=poison)

    async def close(self) -> None:
        """Close all of them, within the time that closing one may take."""
        await self._pool.close()

    def kill(self) -> None:
        """Give up whatever is left, without waiting."""
        self._pool.abandon()
        while self._all:
            self._all.pop().kill()

    async def _new(self) -> Worker:
        worker, self._spare = self._spare or self._make(), None
        self._all.add(worker)
        return worker

    async def _close(self, worker: Worker) -> None:
        try:
            await worker.close(timeout=self._close_seconds)
        finally:
            self._all.discard(worker)


async def _usable(worker: Worker) -> bool:
    return worker.broken is None and not worker.busy


def _suitable(kind: WorkerKind) -> int:
    cores = len(os.sched_getaffinity(0))
    return {WorkerKind.SHARED: 256, WorkerKind.THREAD: 64, WorkerKind.PROCESS: cores}[kind]
