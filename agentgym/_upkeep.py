"""`Upkeep`: how one member of a pool is made, checked and closed, each within its time limit.

Making is tried a few times, with growing pauses; what fails then is the borrower's to be told. A
check that fails or takes too long says that the member is ill. A member that can't be closed is
given up, with a line in the log.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from agentgym.errors import InfraError, TimeLimitError
from agentgym.pool_config import PoolConfig

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Upkeep(Generic[T]):
    """Makes, checks and closes members.

    Args:
        name: What the members are, for messages.
        create: Makes a member.
        close: Closes one.
        healthy: Says whether one can be lent again; None where there is nothing to check.
        config: Limits, attempts and pauses.
        seed: Seeds the pauses' jitter.

    Attributes:
        made: Members made so far.
        failed: Failures to make one so far.
    """

    def __init__(
        self,
        name: str,
        create: Callable[[], Awaitable[T]],
        close: Callable[[T], Awaitable[None]],
        healthy: Callable[[T], Awaitable[bool]] | None,
        config: PoolConfig,
        seed: int,
    ) -> None:
        self.made = self.failed = 0
        self._name, self._config = name, config
        self._create, self._close, self._healthy = create, close, healthy
        self._rng = random.Random(seed)

    async def make(self) -> T:
        """Make a member.

        Raises:
            InfraError: If it failed `attempts` times.
        """
        failures = 0
        while True:
            try:
                member = await self._try_to_make()
            except (InfraError, OSError) as problem:
                fault = problem
            else:
                self.made += 1
                return member
            failures += 1
            self.failed += 1
            _log.info("%s: attempt %d failed: %s", self._name, failures, fault)
            if failures == self._config.attempts:
                raise InfraError(
                    f"{self._name}: none could be made in {failures} attempts; the last failed "
                    f"with: {fault}"
                ) from fault
            await asyncio.sleep(self._config.backoff.seconds(failures, self._rng))

    async def check(self, member: T, idle_seconds: float) -> bool:
        """Return whether a member can be lent.

        Args:
            member: Which.
            idle_seconds: How long it has lain idle.
        """
        if self._healthy is None or idle_seconds < self._config.check_after:
            return True
        try:
            async with asyncio.timeout(self._config.check_seconds):
                return await self._healthy(member)
        except Exception as fault:
            _log.info("%s: a member failed its check: %r", self._name, fault)
            return False

    async def close(self, member: T) -> None:
        """Close a member, or give it up."""
        limit = self._config.close_seconds
        try:
            async with asyncio.timeout(limit):
                await self._close(member)
        except Exception as fault:
            late = isinstance(fault, TimeoutError)
            failure = TimeLimitError("close", self._name, limit) if late else fault
            _log.warning("%s: a member could not be closed: %s", self._name, failure)

    async def _try_to_make(self) -> T:
        limit = self._config.create_seconds
        try:
            async with asyncio.timeout(limit):
                return await self._create()
        except TimeoutError:
            raise TimeLimitError("create", self._name, limit) from None
