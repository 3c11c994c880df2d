"""`convert`: worked solutions in text become episodes in which the environment really took part.

Each task's solution is turned into actions, by the environment's own rules or by a model that
rewrites it, and the actions are played. What an episode shows between them (the output of code,
say) is therefore what a rollout would have shown. Episodes that don't end well are left out, each
with a reason.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agentgym import registry
from agentgym.errors import UsageError
from agentgym.message import Message
from agentgym.policies.script import ScriptPolicy
from agentgym.progress import Display, Progress
from agentgym.rollout import Collector, EpisodeSpec, RolloutConfig, Writer
from agentgym.scripts import Script, UnscriptedError, scriptwriter
from agentgym.stop_reason import StopReason
from agentgym.task import TaskSet
from agentgym.trajectory import Trajectory


class Rewriter(Protocol):
    """A model that answers a chat; `ChatEndpoint` is one."""

    @property
    def name(self) -> str:
        """What trajectories say of who wrote them."""
        ...

    async def write(self, messages: Sequence[Message]) -> str:
        """Return its answer.

        Raises:
            UnscriptedError: If it has none, or only a part of one.
            InfraError: If it can't be reached; the episode is tried again.
            UsageError: If it will never answer; the conversion ends.
        """
        ...

    async def close(self) -> None:
        """Release everything; called once, on the event loop that it was used on."""
        ...


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A task that gave no episode.

    Attributes:
        task_id: Which.
        reason: Why, in a few words that are the same for every task with this reason.
        detail: What is particular to this one.
    """

    task_id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of worked solutions.

    Attributes:
        kept: The episodes, all of them successes, in the order of their tasks.
        left_out: The tasks without one, in the order in which they were given up.
    """

    kept: Sequence[Trajectory]
    left_out: Sequence[LeftOut]

    @property
    def reasons(self) -> dict[str, int]:
        """How many tasks were left out for each reason, the commonest first."""
        return dict(Counter(one.reason for one in self.left_out).most_common())


def convert(
    env_id: str,
    rewriter: Rewriter | None = None,
    *,
    env_kwargs: Mapping[str, Any] | None = None,
    first: int = 0,
    episodes: int | None = None,
    seed: int = 0,
    config: RolloutConfig | None = None,
    writer: Writer | None = None,
    on_left_out: Callable[[LeftOut], None] | None = None,
    display: Display | None = None,
) -> Conversion:
    """Turn the worked solutions of an environment's tasks into episodes.

    Args:
        env_id: The environment's id; it must offer a scriptwriter.
        rewriter: Rewrites the solutions; None for the environment's rules. It is closed in the end.
        env_kwargs: The environment's options.
        first: The index of the first task.
        episodes: How many tasks; None for all from there. None is gone through twice.
        seed: The first episode's seed; the others' follow, one by one.
        config: Concurrency, limits, retries.
        writer: Gets every episode that is kept, as it ends.
        on_left_out: Told of every task that is left out, as that shows.
        display: How progress is shown; None for a bar on a terminal and lines elsewhere.

    Raises:
        Interrupted: On Ctrl-C; what was kept is with the writer.
        UsageError: If there is no such environment, option or task, if the environment can't turn
            solutions into episodes, or if the rewriter refuses.
    """
    env = registry.make(env_id, **(env_kwargs or {}))
    try:
        writes = scriptwriter(env)
        tasks: TaskSet = env.get_wrapper_attr("tasks")
    finally:
        env.close()
    chosen = range(len(tasks))[first:][:episodes]
    if first < 0 or not chosen:
        raise UsageError(f"There are {len(tasks)} tasks; number {first} is none of them.")

    async def write(task_id: str) -> Script:
        task = tasks[tasks.find(task_id)]
        if rewriter is None:
            return writes.by_rule(task)
        return writes.by_model(task, await rewriter.write(writes.asking(task)))

    policy = ScriptPolicy(write)
    sieve = _Sieve(policy, writer, on_left_out)
    meta = {"converted_by": "rule" if rewriter is None else rewriter.name}
    specs = [EpisodeSpec(index, seed + k, meta=meta) for k, index in enumerate(chosen)]
    with (
        Collector(env_id, env_kwargs, policy, config, writer=sieve) as collector,
        Progress(len(specs), "convert", display=display) as progress,
    ):
        try:
            played = collector.collect(
                specs, lambda _: progress(sieve.seen, sieve.figures), seed=seed
            )
        finally:
            if rewriter is not None:
                collector.run(rewriter.close)
    return Conversion([t for t in played if t.id in sieve.kept], sieve.left_out)


class _Sieve:
    """Lets episodes through to a writer that are to be learnt from."""

    def __init__(
        self,
        policy: ScriptPolicy,
        writer: Writer | None,
        on_left_out: Callable[[LeftOut], None] | None,
    ) -> None:
        self._policy, self._writer, self._on_left_out = policy, writer, on_left_out
        self.kept: set[str] = set()
        self.left_out: list[LeftOut] = []

    @property
    def seen(self) -> int:
        return len(self.kept) + len(self.left_out)

    @property
    def figures(self) -> dict[str, float]:
        return {"kept": len(self.kept), "left out": len(self.left_out)}

    def add(self, trajectory: Trajectory) -> None:
        flaw = self._flaw(trajectory)
        if flaw is None:
            self.kept.add(trajectory.id)
            if self._writer is not None:
                self._writer.add(trajectory)
            return
        self.left_out.append(LeftOut(trajectory.task_id, flaw.reason, flaw.detail))
        if self._on_left_out is not None:
            self._on_left_out(self.left_out[-1])

    def _flaw(self, trajectory: Trajectory) -> UnscriptedError | None:
        unscripted = self._policy.unscripted.get(trajectory.task_id)
        if unscripted is not None:
            return unscripted
        reason = trajectory.stop_reason
        if not reason.trainable:
            return UnscriptedError(reason, trajectory.error or "")
        for turn in trajectory.turns:
            if turn.action_error is not None:
                return UnscriptedError("wrong format", turn.action_error)
        if reason is StopReason.FAILURE:
            return UnscriptedError("wrong answer", trajectory.turns[-1].action[-200:])
        if reason is not StopReason.SUCCESS:
            return UnscriptedError(reason, f"after {len(trajectory.turns)} turns")
        return self._policy.scripts[trajectory.task_id].flaw(trajectory)
