"""`PolicyLoop`: the event loop on which oracles ask policies, on a thread of its own.

Environments are plain code on many threads; policies are coroutines, and may hold connections or
locks that belong to one loop. So every oracle of a process asks on this one. A rollout's own loop
is another: a policy that both plays and answers has to bear two, as a local model does.
"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from agentgym.errors import InfraError, TimeLimitError, UsageError

T = TypeVar("T")


class PolicyLoop:
    """An event loop on a thread of its own, from its first use to the program's end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, work: Coroutine[Any, Any, T], stage: str, what: str, seconds: float) -> T:
        """Run a coroutine to its end and return what it gives. Called from any other thread.

        Args:
            work: The coroutine; cancelled past the limit, and not waited for any longer.
            stage: What is being done, for messages.
            what: What it is done to.
            seconds: The limit.

        Raises:
            TimeLimitError: Past the limit.
            UsageError: As the coroutine raised it.
            InfraError: If the coroutine raised anything else. Not as it was raised: a `PolicyError`
                out of an environment would be taken for one of the policy that plays.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._running())
        try:
            return future.result(seconds)
        except (UsageError, InfraError):
            raise
        except Exception as fault:
            if not future.done():
                raise TimeLimitError(stage, what, seconds) from fault
            told = f"{type(fault).__name__}: {fault}"
            raise InfraError(f"{stage} of {what} failed: {told}") from fault
        finally:
            future.cancel()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            # A fork takes the loop along, and leaves its thread behind.
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                self._loop = asyncio.new_event_loop()
                # A daemon, since a policy that hangs must not keep the program from ending.
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="agentgym oracles", daemon=True
                )
                self._thread.start()
            return self._loop


policy_loop = PolicyLoop()
