"""`Worker`: an environment that lives somewhere else, called without blocking the caller.

A call (`reset`, `step`, `call`, `close`) returns a `Pending` at once: `await` it in a coroutine, or
ask for its `result()` in ordinary code; both wait no longer than the call's time limit. A worker
carries out one call at a time and never lets an environment's failure out as anything but the error
tree: `AgentGymError`s as they are, everything else as an `EnvError` that ends with the traceback's
last lines. A worker whose call ran out of time is `broken` and is replaced, never reused; one whose
process died may start another with its next reset.
"""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import gymnasium

from agentgym.actions import ActionFormat
from agentgym.env import WorkerKind
from agentgym.errors import EpisodeStateError, InfraError, TimeLimitError
from agentgym.task import Task
from agentgym.tool import ToolCall, ToolSpec
from agentgym.workers._lane import Lane
from agentgym.workers._pending import Pending

EnvSource = str | Callable[..., gymnasium.Env[Any, Any]]
"""An environment's id, or what makes one (importable by name, where another process makes it)."""


class Stage(StrEnum):
    """What an episode is doing; named in every time limit's message."""

    LEASE = "lease"
    RESET = "reset"
    GENERATE = "generate"
    STEP = "step"
    SCORE = "score"
    CALL = "call"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Briefing:
    """What a policy is told about the episode that begins.

    Attributes:
        instructions: The system prompt.
        tools: What the model may call.
        shown_tools: Those that a chat template is to show, in its own way: all of them where the
            model answers with the calls that templates ask for, else none.
        action_format: How actions are written; None for an environment that has no format.
        stop: Strings that end a turn in the environment's action format.
        task: The task without its `data`, which stays where the environment is; None for an
            environment that knows no tasks.
        data_version: Hash or version of the environment's data, where it offers one.
    """

    instructions: str = ""
    tools: tuple[ToolSpec, ...] = ()
    shown_tools: tuple[ToolSpec, ...] = ()
    action_format: ActionFormat | None = None
    stop: tuple[str, ...] = ()
    task: Task | None = None
    data_version: str | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """What a reset gave.

    Attributes:
        observation: The first observation.
        info: The environment's `info`.
        briefing: What the policy is told.
        seconds: How long the environment took, making it included.
    """

    observation: Any
    info: dict[str, Any]
    briefing: Briefing
    seconds: float


@dataclass(frozen=True, slots=True)
class Step:
    """What a step gave.

    Attributes:
        observation: The next observation.
        reward: What the turn earned.
        terminated: Whether the world ended the episode.
        truncated: Whether a limit ended it.
        info: The environment's `info`.
        calls: The tool calls read from the action.
        seconds: How long the environment took.
    """

    observation: Any
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]
    calls: tuple[ToolCall, ...]
    seconds: float


class Host(ABC):
    """An environment as its worker's thread sees it; every method but `kill` may block."""

    @abstractmethod
    def reset(self, seed: int | None, options: dict[str, Any] | None) -> Reset:
        """Make the environment if there is none, and start an episode."""

    @abstractmethod
    def step(self, action: str) -> Step:
        """Take a turn."""

    @abstractmethod
    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """Return an attribute of the environment, called if it is a method."""

    @abstractmethod
    def close(self) -> None:
        """Close the environment and let go of everything; may be called more than once."""

    @abstractmethod
    def kill(self) -> None:
        """Stop a call that hangs, from another thread and without waiting, as far as that goes."""


class Worker:
    """An environment that lives somewhere else; `make_worker` makes one.

    Args:
        kind: Where it lives.
        label: What the environment is called in messages.
        host: The environment, or the way to it.
        lane: The thread that calls the host; None for a thread of its own.
    """

    def __init__(self, kind: WorkerKind, label: str, host: Host, lane: Lane | None = None) -> None:
        self.kind = kind
        self.name = f"{label} in {kind} worker {next(_numbers)}"
        self._host = host
        self._own_lane = lane is None
        self.lane = Lane(self.name) if lane is None else lane
        self._current: Pending[Any] | None = None
        self._broken: str | None = None
        self._gone = False

    @property
    def broken(self) -> str | None:
        """Why this worker can't be used any more; None while it can."""
        return self._broken

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return self._current is not None and not self._current.done()

    def reset(
        self,
        seed: int | None = None,
        options: dict[str, Any] | None = None,
        *,
        timeout: float = 300.0,
    ) -> Pending[Reset]:
        """Start an episode, making the environment first if need be.

        Args:
            seed: For the environment's generator.
            options: For the environment's `reset`; "task" picks the task.
            timeout: Most seconds to wait.

        Raises:
            InfraError: If the worker is broken; from the result, if a resource failed, and as a
                `TimeLimitError` past the limit.
            EnvError: From the result, if the environment has a bug.
            UsageError: From the result, if there is no such environment, option or task.
            EpisodeStateError: If the worker is busy.
        """
        return self._begin(Stage.RESET, timeout, self._host.reset, seed, options)

    def step(self, action: str, *, timeout: float = 120.0) -> Pending[Step]:
        """Take a turn; errors as of `reset`, and `EpisodeStateError` where no episode is running.

        Args:
            action: What the model wrote.
            timeout: Most seconds to wait.
        """
        return self._begin(Stage.STEP, timeout, self._host.step, action)

    def call(self, name: str, *arguments: Any, timeout: float = 120.0) -> Pending[Any]:
        """Read an attribute of the environment, or call it if it is a method.

        Args:
            name: Such as "render" or "observation_space".
            *arguments: For a method.
            timeout: Most seconds to wait.
        """
        return self._begin(Stage.CALL, timeout, self._host.call, name, arguments)

    def close(self, *, timeout: float = 30.0) -> Pending[None]:
        """Close the environment and give the worker up; harmless on one that was given up before.

        A call that is still under way is not waited for: the worker is killed instead.

        Args:
            timeout: Most seconds to wait for the environment's own `close`.
        """
        if self._broken is not None or self.busy:
            self.kill()
            return Pending[None].settled(self)
        closing = self._begin(Stage.CLOSE, timeout, self._close)
        self._broken = "it was closed"
        return closing

    def kill(self) -> None:
        """Give the worker up at once, without waiting for anything."""
        self._broken = self._broken or "it was killed"
        call = self._current
        running = call is not None and call.fail(InfraError(f"{self.name}: {self._broken}."))
        self._let_go(running=running)

    def expire(self, stage: str, seconds: float) -> TimeLimitError:
        """Give the worker up because its call ran out of time; return the error to raise."""
        error = TimeLimitError(stage, self.name, seconds)
        self._broken = str(error)
        self._let_go(running=True)
        return error

    def orphaned(self) -> None:
        """Close the environment under a call that came back when nobody waited for it any more."""
        self._host.close()

    def _begin(
        self, stage: Stage, seconds: float, function: Callable[..., Any], *arguments: Any
    ) -> Pending[Any]:
        if self._broken is not None:
            raise InfraError(f"Can't {stage} {self.name}: {self._broken}. Use a fresh worker.")
        if self.busy:
            raise EpisodeStateError(f"{self.name} is busy: wait for its last call first.")
        call: Pending[Any] = Pending(self, stage, seconds, function, arguments)
        self._current = call
        self.lane.put(call)
        return call

    def _close(self) -> None:
        self._gone = True
        try:
            self._host.close()
        finally:
            if self._own_lane:
                self.lane.stop()

    def _let_go(self, *, running: bool) -> None:
        if self._gone:
            if running:
                self._host.kill()
            return
        self._gone = True
        self._host.kill()
        if not running:
            # Only the lane may touch the environment; under a running call `orphaned` closes it.
            self.lane.put(Pending(self, Stage.CLOSE, math.inf, self._host.close, ()))
        if self._own_lane:
            self.lane.stop()


_numbers = itertools.count(1)
