"""`Member`: one environment of a vector environment, and what becomes of it when it fails.

A member has at most one job at a time, a step or a reset. Its worker carries the job out; the
member turns the answer into an `Outcome`, resets where Gymnasium's autoreset mode asks for it, and
when a worker is lost puts a fresh one in its place: the episode ends as truncated, with the reason
in `info`, and nobody else notices. A reset that fails is tried again on a fresh worker, a few times
and with growing pauses.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from agentgym.backoff import Backoff
from agentgym.errors import AgentGymError, EnvError, EpisodeStateError, InfraError, UsageError
from agentgym.stop_reason import StopReason
from agentgym.workers import Pending, Reset, Step, Worker


@dataclass(frozen=True, slots=True)
class Limits:
    """What a member may take.

    Attributes:
        step: Seconds for a step.
        reset: Seconds for a reset, making the environment included.
        close: Seconds for closing.
        attempts: How often a reset is tried, each time on a fresh worker.
        backoff: How long to wait between two tries.
    """

    step: float
    reset: float
    close: float
    attempts: int
    backoff: Backoff


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a member answered.

    Attributes:
        observation: What it shows now.
        reward: What the turn earned; 0 after a reset.
        terminated: Whether its world ended the episode.
        truncated: Whether a limit or a failure ended it.
        info: Its `info`; with "error" after a failure, and with "final_obs" and "final_info" after
            an episode that ended in this step, in the mode `SAME_STEP`.
        fault: What failed, if the environment or its worker did.
    """

    observation: Any
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]
    fault: AgentGymError | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    """What a member is doing; a step has no fields."""

    resets: bool = False
    seed: int | None = None
    options: Mapping[str, Any] | None = None
    attempt: int = 1
    ending: Outcome | None = None
    """The outcome that ended the episode, while the reset of the same step is under way."""


class Member:
    """One environment of a vector environment.

    Args:
        index: Its number.
        hire: Makes a fresh worker.
        mode: Who resets an episode that ended, and when.
        limits: What it may take.
        listener: Told when the worker has answered; then `collect` is to be called.
    """

    def __init__(
        self,
        index: int,
        hire: Callable[[], Worker],
        mode: AutoresetMode,
        limits: Limits,
        listener: "Callable[[Member, Pending[Any]], None]",
    ) -> None:
        self.index = index
        self.worker = hire()
        self.last: Any = None
        """What it showed last."""
        self._hire, self._mode, self._limits, self._listener = hire, mode, limits, listener
        self._jitter = Random(index)
        self._job: _Job | None = None
        self._pending: Pending[Any] | None = None
        self._wake: float | None = None
        self._begun = False
        self._ended = True
        self._turn = 0
        self._seed: int | None = None
        self._replacements = 0
        self._fresh = True
        self._between: AgentGymError | None = None
        """What took the worker between two turns; the next step tells of it."""

    @property
    def busy(self) -> bool:
        """Whether it has a job."""
        return self._job is not None

    @property
    def deadline(self) -> float:
        """When to call `collect` even if nobody told to, on the monotonic clock."""
        if self._wake is not None:
            return self._wake
        return self._pending.due if self._pending is not None else 0.0

    def refusal(self) -> str | None:
        """Say why `step` would raise now; None if it wouldn't."""
        if self.busy:
            return f"member {self.index} is busy: receive its last outcome first"
        if not self._begun:
            return f"member {self.index} was never reset: call reset() first"
        if self._ended and self._mode is AutoresetMode.DISABLED:
            return f"the episode of member {self.index} ended: reset it first"
        return None

    def step(self, action: str) -> None:
        """Begin a turn; where the episode ended, begin the next instead.

        Args:
            action: What the model wrote.

        Raises:
            EpisodeStateError: If the member is busy, or if no episode is running and none may be
                begun.
        """
        refusal = self.refusal()
        if refusal is not None:
            raise EpisodeStateError(f"No step: {refusal}.")
        if self._ended:
            self._try(_Job(resets=True))
            return
        self._turn += 1
        self._job = _Job()
        self._call(lambda: self._take(action))

    def reset(self, seed: int | None, options: Mapping[str, Any] | None) -> None:
        """Begin an episode.

        Args:
            seed: For the environment's generator; fresh workers derive theirs from it.
            options: For the environment's `reset`.

        Raises:
            EpisodeStateError: If the member is busy.
        """
        if self.busy:
            raise EpisodeStateError(f"No reset: member {self.index} is busy.")
        if seed is not None:
            self._seed, self._replacements = seed, 0
        self._try(_Job(resets=True, seed=seed, options=options))

    def collect(self) -> Outcome | None:
        """Take the worker's answer, waiting for it if need be.

        Returns:
            What became of the job; None if the job goes on with another call.

        Raises:
            UsageError: If the caller asked for something that can't be done, such as an unknown
                task.
        """
        job, pending = self._job, self._pending
        assert job is not None
        if pending is None:
            self._try(job)
            return None
        self._pending = None
        try:
            answer = pending.result()
        except UsageError:
            self._job, self._ended = None, True
            raise
        except AgentGymError as fault:
            return self._failed(job, fault)
        return self._began(job, answer) if job.resets else self._stepped(answer)

    def ask(self, name: str, *arguments: Any) -> Pending[Any]:
        """Read an attribute of the environment between two turns, or call it if it is a method.

        Args:
            name: Such as "render".
            *arguments: For a method.
        """
        seconds = self._limits.step
        return self._begin(lambda: self.worker.call(name, *arguments, timeout=seconds))

    def told(self, call: Pending[Any]) -> Any:
        """Wait for what was asked for.

        A bug in the attribute leaves the episode running. A worker that was lost takes its episode
        along: it is replaced, and the next step is the failed one.

        Raises:
            AgentGymError: What the call raised.
        """
        try:
            return call.result()
        except InfraError as fault:
            self._replace()
            if not self._ended:
                self._between = fault
            raise

    def close(self) -> Pending[None]:
        """Close the environment and give the worker up."""
        self._job = self._pending = self._wake = None
        return self.worker.close(timeout=self._limits.close)

    def _try(self, job: _Job) -> None:
        self._job, self._wake, self._between = job, None, None
        seed = job.seed
        if seed is None and self._fresh and self._seed is not None:
            # The generator that the seed began was lost with its worker.
            entropy = np.random.SeedSequence((self._seed, self._replacements))
            seed = int(entropy.generate_state(1)[0])
        options = None if job.options is None else dict(job.options)
        self._call(lambda: self.worker.reset(seed, options, timeout=self._limits.reset))

    def _take(self, action: str) -> Pending[Step]:
        if self._between is not None:
            raise self._between
        return self.worker.step(action, timeout=self._limits.step)

    def _call(self, begin: Callable[[], Pending[Any]]) -> None:
        self._pending = pending = self._begin(begin)
        pending.listen(lambda call: self._listener(self, call))

    def _begin(self, begin: Callable[[], Pending[Any]]) -> Pending[Any]:
        try:
            return begin()
        except InfraError as fault:
            return Pending[Any].failed(self.worker, fault)
        except EpisodeStateError as fault:
            # Busy with a call that nobody waits for any more: no worker to go on with.
            return Pending[Any].failed(self.worker, InfraError(str(fault)))

    def holds(self, call: Pending[Any]) -> bool:
        """Whether this is the call that the member waits for."""
        return self._pending is call

    def _began(self, job: _Job, answer: Reset) -> Outcome:
        self._job, self._begun, self._ended, self._fresh = None, True, False, False
        self._turn = 0
        self.last = answer.observation
        ending = job.ending
        if ending is None:
            return Outcome(answer.observation, 0.0, False, False, answer.info)
        final = {"final_obs": ending.observation, "final_info": ending.info}
        return replace(ending, observation=answer.observation, info={**answer.info, **final})

    def _stepped(self, answer: Step) -> Outcome | None:
        self.last = answer.observation
        self._ended = answer.terminated or answer.truncated
        outcome = Outcome(
            answer.observation, answer.reward, answer.terminated, answer.truncated, answer.info
        )
        return self._ending(outcome) if self._ended else self._done(outcome)

    def _failed(self, job: _Job, fault: AgentGymError) -> Outcome | None:
        if fault is not self._between:
            self._replace()
        self._between = None
        self._begun = self._ended = True
        if job.resets:
            if isinstance(fault, InfraError) and job.attempt < self._limits.attempts:
                pause = self._limits.backoff.seconds(job.attempt, self._jitter)
                self._wake = time.monotonic() + pause
                self._job = replace(job, attempt=job.attempt + 1)
                return None
            if job.ending is not None:
                # The episode that ended is worth more than the one that can't begin; the next step
                # tries to begin it again.
                info = {"final_obs": job.ending.observation, "final_info": job.ending.info}
                lost = {**self._lost(fault), **info}
                return self._done(replace(job.ending, info=lost, fault=fault))
        outcome = Outcome(self.last, 0.0, False, True, self._lost(fault), fault)
        return self._done(outcome) if job.resets else self._ending(outcome)

    def _ending(self, outcome: Outcome) -> Outcome | None:
        if self._mode is not AutoresetMode.SAME_STEP:
            return self._done(outcome)
        self._try(_Job(resets=True, ending=outcome))
        return None

    def _done(self, outcome: Outcome) -> Outcome:
        self._job = None
        return outcome

    def _lost(self, fault: AgentGymError) -> dict[str, Any]:
        bug = isinstance(fault, EnvError)
        return {
            "success": False,
            "action_error": None,
            "metrics": {},
            "turn": self._turn,
            "stop_reason": StopReason.ENV_ERROR if bug else StopReason.INFRA_ERROR,
            "error": str(fault),
        }

    def _replace(self) -> None:
        # Nobody waits for the lost one: its own thread closes it, as far as it can be closed.
        self.worker.close(timeout=self._limits.close)
        self.worker = self._hire()
        self._replacements += 1
        self._fresh = True
