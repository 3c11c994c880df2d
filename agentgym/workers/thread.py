"""Workers whose environment lives in this process: on a thread of its own, or on one for many.

Python code runs one thread at a time, so threads serve environments that wait (a browser, a phone)
and environments whose step costs less than handing it to another process. A call that hangs can't
be stopped from outside: its thread is left behind, named in the time limit's error, and closes the
environment if the call ever returns.
"""

from typing import Any

from agentgym.env import WorkerKind
from agentgym.workers._lane import Lane
from agentgym.workers._local import LocalHost, label
from agentgym.workers.base import EnvSource, Worker

PATIENCE = 0.02
"""Seconds that environments on the shared thread wait for a slow one before it is moved aside: far
above what a text world takes for a step, far below what a person or a time limit notices."""

_shared_lane = Lane("agentgym shared worker", patience=PATIENCE)


def thread_worker(source: EnvSource, kwargs: dict[str, Any]) -> Worker:
    """Return a worker with a thread of its own, the same one for every call.

    Args:
        source: The environment's id, or what makes one.
        kwargs: Arguments for making it.
    """
    return Worker(WorkerKind.THREAD, label(source), LocalHost(source, kwargs))


def shared_worker(source: EnvSource, kwargs: dict[str, Any]) -> Worker:
    """Return a worker on the thread that all such workers share.

    Args:
        source: The environment's id, or what makes one.
        kwargs: Arguments for making it.
    """
    return Worker(WorkerKind.SHARED, label(source), LocalHost(source, kwargs), _shared_lane)
