"""`SuccessReplay`: a few past successes per task, to rescue groups in which every rollout failed.

ARPO (arXiv 2505.16282, section 3.3): when all rollouts of a group fail, their advantages are 0 and
the group teaches nothing; replacing one of them by a stored success of the same task gives it a
signal again. The buffer is per task and first in, first out. A rollout is stored only after its own
batch was served, so that a group can never be rescued by itself.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from pydantic import Field

from agentgym.config import Config
from agentgym.trajectory import Trajectory


class ReplayConfig(Config):
    """Settings of `SuccessReplay`.

    The defaults are the released code's (`apply_replay`), except `max_age`, which it does not have.
    """

    enabled: bool = True
    capacity: int = Field(default=8, ge=1, description="successes kept per task")
    min_score: float = Field(default=0.1, description="a trajectory that earned more is a success")
    max_mean: float = Field(
        default=0.2, description="a group is all-fail if its mean score is below this"
    )
    max_std: float = Field(
        default=0.05, gt=0, description="… and its population standard deviation is below this"
    )
    max_age: int | None = Field(
        default=None,
        ge=0,
        description="most policy updates since the success was sampled; None for any",
    )


@dataclass(slots=True)
class ReplayReport:
    """What `SuccessReplay.serve` did.

    Attributes:
        rows: Indices of the trajectories that were replaced.
        failed_groups: Groups in which every valid rollout failed.
        ages: For each replaced row, policy updates since its success was sampled.
    """

    rows: list[int] = field(default_factory=list[int])
    failed_groups: int = 0
    ages: list[int] = field(default_factory=list[int])


class SuccessReplay:
    """Per-task success buffers.

    Args:
        config: The settings.
        seed: Seeds the choice among stored successes.
    """

    def __init__(self, config: ReplayConfig, seed: int) -> None:
        self.config = config
        self._rng = np.random.default_rng([seed, 0x5EED])
        self._buffers: dict[str, deque[Trajectory]] = {}

    def __len__(self) -> int:
        return sum(len(buffer) for buffer in self._buffers.values())

    def stored(self, task_id: str) -> list[Trajectory]:
        """Return the successes of a task, oldest first."""
        return list(self._buffers.get(task_id, ()))

    def serve(
        self,
        trajectories: Sequence[Trajectory],
        scores: Sequence[float],
        policy_version: int,
    ) -> tuple[list[Trajectory], ReplayReport]:
        """Replace one trajectory of each all-fail group by a stored success of its task.

        Args:
            trajectories: A fresh batch; groups share a `group_id`. It is not changed.
            scores: Each trajectory's task score, without penalties and shaping.
            policy_version: The learner's current version.

        Returns:
            The batch to train on, of the same length and order, and what was done.
        """
        served, report = list(trajectories), ReplayReport()
        groups: dict[str, list[int]] = {}
        for i, trajectory in enumerate(trajectories):
            if trajectory.trainable:
                groups.setdefault(trajectory.group_id, []).append(i)
        for rows in groups.values():
            values = np.array([scores[i] for i in rows])
            if values.mean() >= self.config.max_mean or values.std() >= self.config.max_std:
                continue
            report.failed_groups += 1
            if not self.config.enabled:
                continue
            candidates = self._candidates(trajectories[rows[0]].task_id, policy_version)
            if not candidates:
                continue
            chosen = candidates[int(self._rng.integers(len(candidates)))]
            served[rows[0]] = _as_member(chosen, trajectories[rows[0]])
            report.rows.append(rows[0])
            report.ages.append(policy_version - _version(chosen))
        return served, report

    def store(self, trajectories: Sequence[Trajectory], scores: Sequence[float]) -> None:
        """Keep the successes of a fresh batch; call it after `serve`."""
        if not self.config.enabled:
            return
        for trajectory, score in zip(trajectories, scores, strict=True):
            if trajectory.trainable and score > self.config.min_score:
                buffer = self._buffers.setdefault(
                    trajectory.task_id, deque(maxlen=self.config.capacity)
                )
                buffer.append(trajectory)

    def state(self) -> dict[str, object]:
        """Return everything that a checkpoint needs; `restore` reads it back."""
        return {
            "buffers": {task: list(buffer) for task, buffer in self._buffers.items()},
            "rng": self._rng.bit_generator.state,
        }

    def restore(self, buffers: dict[str, list[Trajectory]], rng: dict[str, object]) -> None:
        """Continue from what `state` gave."""
        capacity = self.config.capacity
        self._buffers = {task: deque(kept, maxlen=capacity) for task, kept in buffers.items()}
        self._rng.bit_generator.state = rng

    def _candidates(self, task_id: str, policy_version: int) -> list[Trajectory]:
        stored = self._buffers.get(task_id, ())
        age = self.config.max_age
        return [t for t in stored if age is None or policy_version - _version(t) <= age]


def _version(trajectory: Trajectory) -> int:
    return max(turn.policy_version for turn in trajectory.turns)


def _as_member(success: Trajectory, replaced: Trajectory) -> Trajectory:
    """Return the success as a member of the group of what it replaces; its turns are shared."""
    meta = {**success.meta, "replayed_from": success.id}
    return replace(success, group_id=replaced.group_id, meta=meta)
