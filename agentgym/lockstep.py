"""`Lockstep`: a policy asked in rounds, so that results repeat to the last bit.

What a model answers depends a little on what else is in its batch: sums of floating-point numbers
are taken in another order, and a log-probability moves in its seventh digit. Who shares a batch
depends on timing, so two runs with equal seeds differ. Here every running episode waits until all
of them wait, and they are asked in an order that follows from their seeds. That costs what
lock-step costs; tests of exact resumption and demonstrations that should repeat are worth it, long
rollouts on slow environments are not.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from agentgym.policy import Completion, Policy, Request


class Lockstep:
    """A policy in front of another one.

    Args:
        policy: Who really answers.
        lines: How many episodes run at a time; each has at most one request waiting.
    """

    def __init__(self, policy: Policy, lines: int) -> None:
        self._policy = policy
        self._running = lines
        self._waiting: list[tuple[Request, asyncio.Future[Completion]]] = []
        self._rounds: set[asyncio.Task[None]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Wait for the round, and answer in it."""
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in requests]
        self._waiting += zip(requests, futures, strict=True)
        self._begin_if_all_wait()
        return list(await asyncio.gather(*futures))

    def leave(self) -> None:
        """One episode fewer will ask from now on."""
        self._running -= 1
        self._begin_if_all_wait()

    def _begin_if_all_wait(self) -> None:
        self._waiting = [(r, future) for r, future in self._waiting if not future.cancelled()]
        if self._waiting and len(self._waiting) >= self._running:
            asked, self._waiting = self._waiting, []
            task = asyncio.get_running_loop().create_task(self._ask(asked))
            self._rounds.add(task)
            task.add_done_callback(self._rounds.discard)

    async def _ask(self, asked: list[tuple[Request, "asyncio.Future[Completion]"]]) -> None:
        # Sampling seeds follow from the episodes' seeds and the turn; ids of episodes are random.
        asked.sort(key=lambda pair: pair[0].sampling.seed or 0)
        try:
            completions = await self._policy.generate([request for request, _ in asked])
        except BaseException as fault:
            for _, future in asked:
                if not future.done():
                    future.set_exception(fault)
            if not isinstance(fault, Exception):
                raise
            return
        for (_, future), completion in zip(asked, completions, strict=True):
            if not future.done():
                future.set_result(completion)
