"""The error tree: who is at fault decides what happens next.

Everything that agentgym raises on purpose is an `AgentGymError`. The branches matter more than the
leaves: a `UsageError` is the caller's and is raised at once; an `EnvError` is a bug in an
environment and ends the episode with `env_error`; an `InfraError` is the world's (a browser died, a
phone went offline) and is retried on a fresh resource, recorded and never trained on; a
`PolicyError` ends the episode with `policy_error`. A model's bad action is none of these: it is an
ordinary observation. Every error survives pickling, since workers raise them in other processes.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class AgentGymError(Exception):
    """Base class of every error that agentgym raises on purpose."""


class UsageError(AgentGymError):
    """The caller asked for something that can't be done as asked."""


class ConfigError(UsageError):
    """A configuration is wrong; the message names the key and the nearest known one."""


class UnknownNameError(UsageError):
    """No such environment, trainer, tool, sandbox or policy.

    Args:
        kind: What was looked up ("environment", "trainer", …).
        name: The name that is not known.
        known: The names that are.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        self.kind, self.name, self.known = kind, name, known
        near = nearest(name, known)
        hint = f"did you mean {near!r}?" if near else f"known: {_listed(known)}."
        super().__init__(f"There is no {kind} {name!r}; {hint}")

    def __reduce__(self) -> tuple[type["UnknownNameError"], tuple[str, str, list[str]]]:
        return type(self), (self.kind, self.name, self.known)


class MissingDependencyError(UsageError):
    """An optional part is not installed.

    Args:
        package: What is missing, as its users call it.
        extra: The extra of agentgym-suite that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(f"{package} is not installed; run: pip install 'agentgym-suite[{extra}]'")

    def __reduce__(self) -> tuple[type["MissingDependencyError"], tuple[str, str]]:
        return type(self), (self.package, self.extra)


class DataError(UsageError):
    """A file or a data set is not what it should be; the message names the file and the remedy."""


class StoreError(DataError):
    """A trajectory store can't be read or written as asked."""


class EpisodeStateError(UsageError):
    """`step` was called before `reset`, after the episode ended, or after `close`."""


class EnvError(AgentGymError):
    """An environment broke its contract: a bug in the environment, not the model's doing."""


class InfraError(AgentGymError):
    """A resource failed under the episode: retried on a fresh one, never turned into a reward."""


class TimeLimitError(InfraError):
    """Something took longer than it may; the message names the stage, the resource and the limit.

    Args:
        stage: What was being done ("reset", "step", "generate", "lease", …).
        what: The resource or the environment that it was done to.
        seconds: The limit that ran out.
    """

    def __init__(self, stage: str, what: str, seconds: float) -> None:
        self.stage, self.what, self.seconds = stage, what, seconds
        super().__init__(f"{stage} of {what} took longer than its limit of {seconds:g} s")

    def __reduce__(self) -> tuple[type["TimeLimitError"], tuple[str, str, float]]:
        return type(self), (self.stage, self.what, self.seconds)


class PolicyError(AgentGymError):
    """A policy could not answer (an endpoint refused, a recording ran out, a person left)."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like `name`, or None where none is like it."""
    matches = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def _listed(names: list[str]) -> str:
    # A data set has thousands of task ids; a message with all of them hides what it says.
    shown = ", ".join(names[:20]) or "none"
    return shown if len(names) <= 20 else f"{shown}, … ({len(names)} in all)"
