"""`Driver`: the thread that drives browsers, so that anybody may use one from any thread.

Playwright's objects belong to the event loop that made them. An environment is used from whatever
thread a rollout, a notebook or a test has, inside a running loop or not, so all browsers of a
process live on one loop in a thread of its own, and callers wait for their answers.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

from agentgym.errors import InfraError, TimeLimitError

T = TypeVar("T")

_lock = threading.Lock()
_driver: "Driver | None" = None


class Driver:
    """An event loop in a thread that ends with the process."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="agentgym-browsers", daemon=True
        )
        self._thread.start()

    @property
    def is_ours(self) -> bool:
        """Whether it is this process's, and not one's that this is a fork of."""
        return self._owner == os.getpid()

    def soon(self, work: Callable[[], object]) -> None:
        """Have a function called there, and don't wait for it."""
        self._loop.call_soon_threadsafe(work)

    def run(self, work: Coroutine[Any, Any, T], *, stage: str, what: str, seconds: float) -> T:
        """Run a coroutine there, and wait for what it gives.

        Args:
            work: The coroutine.
            stage: What it does, for the error.
            what: What it does it to.
            seconds: How long it may take.

        Raises:
            TimeLimitError: If it takes longer; it is cancelled then.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise InfraError("The browsers' own thread can't wait for itself")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        except FutureTimeoutError:
            if future.done():  # the work's own, which is a `TimeoutError` as well
                raise
            raise TimeLimitError(stage, what, seconds) from None
        finally:
            future.cancel()


def driver() -> Driver:
    """Return this process's driver, started when it is first needed."""
    global _driver
    with _lock:
        if _driver is None or not _driver.is_ours:
            _driver = Driver()
        return _driver


def _forget() -> None:
    """Let a fork of this process start afresh: threads don't come along."""
    global _driver, _lock
    _lock = threading.Lock()
    _driver = None


os.register_at_fork(after_in_child=_forget)
