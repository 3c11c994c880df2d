"""`AgentVectorEnv`: many environments as one, each stepping at its own pace and failing alone.

It is a Gymnasium vector environment: `reset` and `step` take and give batches, with Gymnasium's
autoreset modes. Since an agent's steps take anything from microseconds to minutes, the members can
also be driven one by one: `send` begins a member's turn, `recv` gives whichever is ready first, and
no member waits for another. A member that dies, raises or hangs past its time limit ends its own
episode and is replaced.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array

from agentgym._arrivals import Arrivals
from agentgym._batch_info import batch_infos
from agentgym._member import Limits, Member, Outcome
from agentgym.backoff import Backoff
from agentgym.env import WorkerKind
from agentgym.errors import AgentGymError, EpisodeStateError, UnknownNameError, UsageError
from agentgym.registry import env_spec
from agentgym.workers import make_worker

__all__ = ["AgentVectorEnv", "Outcome", "make_vec"]

Batch = tuple[
    dict[str, Any], npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_], Any
]
"""Observations, rewards (N,), terminations (N,), truncations (N,), infos."""


def make_vec(env_id: str, num_envs: int, **kwargs: Any) -> "AgentVectorEnv":
    """Make a vector environment whose members step independently.

    Args:
        env_id: The id.
        num_envs: How many members.
        **kwargs: `worker`, `step_timeout` and the like for `AgentVectorEnv`; the rest are the
            environment's options.

    Raises:
        UnknownNameError: If there is no such environment.
    """
    env_spec(env_id)
    return AgentVectorEnv(env_id, num_envs, **kwargs)


class AgentVectorEnv(VectorEnv[dict[str, Any], Sequence[str], Any]):
    """Many environments of one id, in threads or in processes of their own.

    Observations are batched as `{"text": tuple of N texts, "image": (N, H, W, 3) uint8}`, actions
    are a sequence of N texts. A member that fails gives a truncated transition with reward 0, the
    last observation, `info["stop_reason"]` (`infra_error` where its worker died, hung or lost a
    resource, `env_error` where the environment raised) and `info["error"]`.

    Args:
        env_id: The environment's id.
        num_envs: How many members.
        worker: Where members live: "thread", "process" or "shared"; None for where the environment
            asks to.
        autoreset_mode: Who resets an episode that ended: the next step (`NEXT_STEP`), the step that
            ended it (`SAME_STEP`), or the caller (`DISABLED`, with `options={"reset_mask": …}`).
        step_timeout: Seconds that a member's step may take.
        reset_timeout: Seconds that a member's reset may take, making the environment included.
        close_timeout: Seconds that closing may take, all members together.
        reset_attempts: How often a reset is tried, on a fresh member each time.
        backoff: How long to wait between two tries; None for the usual pauses.
        **env_kwargs: The environment's options.

    Raises:
        UsageError: If an argument is not one of the above, or the environment takes no such option.
        InfraError: If the first member can't be made.

    Example:
        >>> import agentgym
        >>> envs = agentgym.make_vec("agentgym/ALFWorld-v0", 2)
        >>> observations, infos = envs.reset(seed=0)
        >>> len(observations["text"])
        2
        >>> envs.send(0, "look")
        >>> member, outcome = envs.recv(timeout=60)
        >>> envs.close()
    """

    def __init__(
        self,
        env_id: str,
        num_envs: int,
        *,
        worker: WorkerKind | str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        step_timeout: float = 120.0,
        reset_timeout: float = 300.0,
        close_timeout: float = 30.0,
        reset_attempts: int = 3,
        backoff: Backoff | None = None,
        **env_kwargs: Any,
    ) -> None:
        if num_envs < 1:
            raise UsageError(f"num_envs must be at least 1, got {num_envs}")
        if worker is not None and worker not in list(WorkerKind):
            raise UnknownNameError("worker", worker, [kind.value for kind in WorkerKind])
        if reset_attempts < 1:
            raise UsageError(f"reset_attempts must be at least 1, got {reset_attempts}")
        self.autoreset_mode = _mode(autoreset_mode)
        self.num_envs = num_envs
        self.spec = env_spec(env_id)
        self.render_mode = env_kwargs.get("render_mode")
        self._limits = Limits(
            step_timeout, reset_timeout, close_timeout, reset_attempts, backoff or Backoff()
        )
        self._arrivals = Arrivals()
        self._members = [
            Member(
                index,
                lambda: make_worker(worker, env_id, env_kwargs),
                self.autoreset_mode,
                self._limits,
                self._arrivals.tell,
            )
            for index in range(num_envs)
        ]
        try:
            self._declare()
        except BaseException:
            self.close()
            raise

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode in every member.

        Args:
            seed: Member i is seeded with seed + i, or with the i-th of several.
            options: For every member's `reset`. "reset_mask", an array of N bools, resets those
                members only; the others show what they showed last, with nothing in their infos.

        Returns:
            Batched observations and infos.

        Raises:
            UsageError: If the arguments don't fit, or there is no such task.
            EpisodeStateError: If a member was sent something that was not received.
            InfraError: If a member could not be reset in `reset_attempts` attempts.
            EnvError: If the environment has a bug.
        """
        self._settle("reset")
        given = dict(options or {})
        mask = self._mask(given.pop("reset_mask", None))
        if seed is None or isinstance(seed, int):
            seeds = [None if seed is None else seed + i for i in range(self.num_envs)]
        else:
            seeds = list(seed)
        if len(seeds) != self.num_envs:
            raise UsageError(f"{len(seeds)} seeds were given for {self.num_envs} members.")
        if isinstance(seed, int):
            super().reset(seed=seed)
        for member, member_seed, wanted in zip(self._members, seeds, mask, strict=True):
            if wanted:
                member.reset(member_seed, given or None)
                self._arrivals.expect(member)
        outcomes = self._gather(int(mask.sum()))
        for outcome in outcomes.values():
            if outcome.fault is not None:
                raise outcome.fault
        observations, *_, infos = self._batch(outcomes)
        return observations, infos

    def step(self, actions: Sequence[str]) -> Batch:
        """Take a turn in every member and wait for all of them.

        Args:
            actions: One text per member. A member whose episode ended in the last step ignores it
                and is reset (unless resetting is disabled).

        Returns:
            Batched observations, rewards (N,) float64, terminations (N,), truncations (N,), infos.

        Raises:
            UsageError: If there are not N texts.
            EpisodeStateError: Before `reset`, while something sent was not received, and, where
                resetting is disabled, after an episode ended; no member took a turn then.
        """
        self._settle("step")
        if isinstance(actions, str) or len(actions) != self.num_envs:
            raise UsageError(f"step() takes a sequence of {self.num_envs} texts, one per member.")
        for index, action in enumerate(actions):
            self._check(index, action)
        for member, action in zip(self._members, actions, strict=True):
            member.step(action)
        self._arrivals.expect(*self._members)
        return self._batch(self._gather(self.num_envs))

    def send(self, member: int, action: str) -> None:
        """Begin a turn in one member and return at once; `recv` gives what becomes of it.

        Args:
            member: Its number.
            action: What the model wrote; ignored where the member begins its next episode.

        Raises:
            EpisodeStateError: If that member is busy, was never reset, or ended its episode and
                resetting is disabled.
            UsageError: If there is no such member or the action is no text.
        """
        self._open()
        self._member(member)
        self._check(member, action)
        self._members[member].step(action)
        self._arrivals.expect(self._members[member])

    def send_reset(
        self, member: int, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> None:
        """Begin an episode in one member and return at once; `recv` gives its first observation.

        Args:
            member: Its number.
            seed: For its generator.
            options: For its `reset`; "task" picks the task.

        Raises:
            EpisodeStateError: If that member is busy.
            UsageError: If there is no such member.
        """
        self._open()
        self._member(member).reset(seed, options)
        self._arrivals.expect(self._members[member])

    def recv(self, timeout: float | None = None) -> tuple[int, Outcome]:
        """Wait for whichever member is ready first.

        Args:
            timeout: Most seconds to wait; None for as long as the members' own limits allow.

        Returns:
            The member's number and what became of its turn or reset.

        Raises:
            TimeLimitError: If none is ready in time; what was sent stays under way.
            EpisodeStateError: If nothing was sent.
            UsageError: If what was sent can't be done, such as a task that there is not.
        """
        self._open()
        return self._arrivals.next(timeout)

    def call(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        """Read an attribute of every member's environment, or call it if it is a method.

        Every member is waited for, whatever fails. One whose worker is lost is replaced, and its
        next step gives the truncated transition; after any other error its episode goes on.

        Args:
            name: Such as "instructions" or "tools".
            *arguments: For a method.

        Raises:
            EpisodeStateError: If a member was sent something that was not received.
            InfraError: If a member's worker died, took longer than `step_timeout`, or lost a
                resource.
            EnvError: If there is no such attribute, or it raised.
        """
        self._settle("call")
        calls = [member.ask(name, *arguments) for member in self._members]
        answers: list[Any] = []
        first: AgentGymError | None = None
        for member, call in zip(self._members, calls, strict=True):
            try:
                answers.append(member.told(call))
            except AgentGymError as fault:
                first = first or fault
        if first is not None:
            raise first
        return tuple(answers)

    def render(self) -> tuple[Any, ...]:
        """Return every member's frame in the `render_mode`."""
        return self.call("render")

    def close_extras(self, **kwargs: Any) -> None:
        """Close every member; no longer than `close_timeout`, and whatever they are doing."""
        del kwargs
        for closing in [member.close() for member in self._members]:
            # What hangs or fails in its close is killed by its worker; nobody is left to be told.
            with suppress(AgentGymError):
                closing.result()

    def _declare(self) -> None:
        first = self._members[0].worker
        seconds = self._limits.reset
        space = first.call("observation_space", timeout=seconds).result()
        self.single_observation_space = space
        self.single_action_space = first.call("action_space", timeout=seconds).result()
        self.observation_space = batch_space(space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        declared: dict[str, Any] = first.call("metadata", timeout=seconds).result()
        self.metadata = {**declared, "autoreset_mode": self.autoreset_mode}
        parts: dict[str, Any] = dict(space.spaces)
        for member in self._members:
            # Shown by a member that could never be reset.
            member.last = {
                name: "" if name == "text" else np.zeros(part.shape, part.dtype)
                for name, part in parts.items()
            }

    def _batch(self, outcomes: dict[int, Outcome]) -> Batch:
        observations = [member.last for member in self._members]
        infos: list[dict[str, Any]] = [{} for _ in self._members]
        rewards = np.zeros(self.num_envs, np.float64)
        flags = np.zeros((2, self.num_envs), np.bool_)
        for index, outcome in outcomes.items():
            infos[index], rewards[index] = outcome.info, outcome.reward
            flags[:, index] = outcome.terminated, outcome.truncated
        space: Any = self.single_observation_space
        empty = create_empty_array(space, self.num_envs, fn=np.empty)
        batched = cast("dict[str, Any]", concatenate(space, observations, empty))
        return batched, rewards, flags[0], flags[1], batch_infos(infos)

    def _gather(self, count: int) -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        mistake: UsageError | None = None
        for _ in range(count):
            try:
                index, outcome = self._arrivals.next()
            except UsageError as fault:
                mistake = mistake or fault
            else:
                outcomes[index] = outcome
        if mistake is not None:
            raise mistake
        return outcomes

    def _settle(self, what: str) -> None:
        self._open()
        if busy := self._arrivals.busy:
            raise EpisodeStateError(f"No {what}: receive what members {busy} were sent first.")

    def _open(self) -> None:
        if self.closed:
            raise EpisodeStateError("This vector environment is closed; make another.")

    def _member(self, index: int) -> Member:
        if not 0 <= index < self.num_envs:
            raise UsageError(
                f"There is no member {index}: they are numbered 0 to {self.num_envs - 1}."
            )
        return self._members[index]

    def _check(self, index: int, action: object) -> None:
        if not isinstance(action, str):
            raise UsageError(f"An action is a str; member {index} got a {type(action).__name__}.")
        refusal = self._members[index].refusal()
        if refusal is not None:
            raise EpisodeStateError(f"No step: {refusal}.")

    def _mask(self, mask: Any) -> npt.NDArray[np.bool_]:
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        given = np.asarray(mask)
        if given.shape != (self.num_envs,) or given.dtype != np.bool_ or not given.any():
            raise UsageError(f"reset_mask is an array of {self.num_envs} bools, at least one True.")
        return given


def _mode(mode: AutoresetMode | str) -> AutoresetMode:
    if isinstance(mode, AutoresetMode):
        return mode
    by_name = {name: known for known in AutoresetMode for name in (known.name, known.value)}
    if mode not in by_name:
        raise UnknownNameError("autoreset mode", mode, by_name)
    return by_name[mode]
