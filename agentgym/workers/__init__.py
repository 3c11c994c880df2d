"""Where environments live during a rollout: on threads, or in processes of their own.

`make_worker` puts an environment into the kind of worker that it asks for, or into the one that
you ask for; all kinds are one `Worker` to their callers.
"""

from collections.abc import Mapping
from typing import Any

from gymnasium.envs.registration import load_env_creator

from agentgym import registry
from agentgym.env import AgentEnv, WorkerKind
from agentgym.workers._local import label as env_label
from agentgym.workers._pending import Pending
from agentgym.workers.base import Briefing, EnvSource, Reset, Stage, Step, Worker
from agentgym.workers.process import process_worker
from agentgym.workers.thread import shared_worker, thread_worker

__all__ = [
    "make_worker",
    "worker_kind",
    "episodes_at_once",
    "env_label",
    "Worker",
    "Pending",
    "Reset",
    "Step",
    "Briefing",
    "Stage",
    "EnvSource",
]

_MAKERS = {
    WorkerKind.SHARED: shared_worker,
    WorkerKind.THREAD: thread_worker,
    WorkerKind.PROCESS: process_worker,
}


def make_worker(
    kind: WorkerKind | str | None, source: EnvSource, kwargs: Mapping[str, Any] | None = None
) -> Worker:
    """Return a worker for an environment; the environment itself is made by its first call.

    Args:
        kind: Where the environment is to live; None for where it asks to.
        source: Its id, or what makes one.
        kwargs: Arguments for making it.

    Raises:
        UsageError: If there is no such environment, or it can't live there.
    """
    chosen = worker_kind(source, kwargs) if kind is None else WorkerKind(kind)
    if isinstance(source, str):
        registry.env_spec(source)
    return _MAKERS[chosen](source, dict(kwargs or {}))


def worker_kind(source: EnvSource, kwargs: Mapping[str, Any] | None = None) -> WorkerKind:
    """Return where an environment asks to live; a foreign one gets a thread of its own.

    Args:
        source: Its id, or what makes one.
        kwargs: Arguments for making it.
    """
    made_by, options = _maker(source, kwargs)
    if isinstance(made_by, type) and issubclass(made_by, AgentEnv):
        return made_by.worker_for(options)
    return getattr(made_by, "worker", WorkerKind.THREAD)


def episodes_at_once(source: EnvSource) -> int | None:
    """Return how many episodes of an environment this machine serves well; None if it doesn't say.

    Args:
        source: Its id, or what makes one.
    """
    return getattr(_maker(source, None)[0], "episodes_at_once", None)


def _maker(source: EnvSource, kwargs: Mapping[str, Any] | None) -> tuple[Any, dict[str, Any]]:
    """Return what makes an environment, its class as a rule, and with which options."""
    made_by: Any = source
    options = dict(kwargs or {})
    if isinstance(source, str):
        spec = registry.env_spec(source)
        made_by, options = spec.entry_point, {**spec.kwargs, **options}
    if isinstance(made_by, str):
        made_by = load_env_creator(made_by)
    return made_by, options
