"""`Summary`: what a list of trajectories shows, kept in each frame's header.

Everything in it is known without touching a body, so a million trajectories can be listed, filtered
and grouped at the cost of their headers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from sys import intern
from typing import Any

from agentgym.stop_reason import StopReason
from agentgym.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class Summary:
    """One trajectory, in a line.

    Attributes:
        id: The trajectory's id.
        env_id: The environment's id.
        task_id: The task's id.
        group_id: Which episodes it is compared with.
        seed: What `reset` was seeded with.
        step: The training step that collected it: `meta["step"]`, where it is a number.
        stop_reason: Why the episode ended.
        success: Whether the task was done.
        reward: The sum of the turns' rewards.
        turns: How many turns it has.
        sampled_tokens: How many ids the policy sampled.
        action_errors: How many turns had an action that did not parse or could not be done.
        images: How many turns came with an image.
        first_version: The oldest weights that sampled a turn; 0 without turns.
        last_version: The newest ones.
        attempts: How often the episode was started.
        started: Unix time of the reset, in seconds.
        seconds: Wall-clock length of the last attempt.
        written: Unix time at which it was stored.
        metrics: The environment's figures at the end.
    """

    id: str
    env_id: str
    task_id: str
    group_id: str
    seed: int | None
    step: int | None
    stop_reason: StopReason
    success: bool
    reward: float
    turns: int
    sampled_tokens: int
    action_errors: int
    images: int
    first_version: int
    last_version: int
    attempts: int
    started: float
    seconds: float
    written: float
    metrics: Mapping[str, float]

    @classmethod
    def of(cls, trajectory: Trajectory, written: float = 0.0) -> "Summary":
        """Return the summary of a trajectory.

        Args:
            trajectory: What to sum up.
            written: Unix time at which it is stored.
        """
        step = trajectory.meta.get("step")
        versions = [turn.policy_version for turn in trajectory.turns] or [0]
        return cls(
            id=trajectory.id,
            env_id=trajectory.env_id,
            task_id=trajectory.task_id,
            group_id=trajectory.group_id,
            seed=None if trajectory.seed is None else int(trajectory.seed),
            step=int(step) if isinstance(step, int | float) and step == step // 1 else None,
            stop_reason=trajectory.stop_reason,
            success=bool(trajectory.success),
            reward=trajectory.reward,
            turns=len(trajectory.turns),
            sampled_tokens=trajectory.sampled_tokens,
            action_errors=sum(turn.action_error is not None for turn in trajectory.turns),
            images=sum(turn.image is not None for turn in trajectory.turns),
            first_version=int(min(versions)),
            last_version=int(max(versions)),
            attempts=trajectory.attempts,
            started=float(trajectory.started),
            seconds=float(trajectory.seconds),
            written=written,
            metrics=dict(trajectory.metrics),
        )

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> "Summary":
        """Return the summary that a header holds; keys of a newer minor version are left out."""
        values = {name: header[name] for name in SUMMARY_FIELDS}
        # The same few names stand in every header; interned, a million rows share them.
        values["env_id"] = intern(values["env_id"])
        values["task_id"] = intern(values["task_id"])
        values["stop_reason"] = StopReason(values["stop_reason"])
        return cls(**values)

    def to_header(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        return {name: getattr(self, name) for name in SUMMARY_FIELDS}


SUMMARY_FIELDS = tuple(field.name for field in fields(Summary))
