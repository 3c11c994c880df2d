"""The store as a pandas table: a row per trajectory, or a row per turn with its arrays."""

from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from agentgym.errors import MissingDependencyError
from agentgym.store.summary import Summary
from agentgym.trajectory import Trajectory, Turn

if TYPE_CHECKING:
    import pandas

_SUMMARY_COLUMNS = tuple(field.name for field in fields(Summary) if field.name != "metrics")
_TURN_FIELDS = tuple(
    field.name for field in fields(Turn) if field.name not in ("image", "calls", "arrays")
)
_TURN_COLUMNS = ("trajectory_id", "env_id", "task_id", "group_id", "step", "turn", *_TURN_FIELDS)


def trajectory_table(summaries: Iterable[Summary]) -> "pandas.DataFrame":
    """Return a table with a row per trajectory.

    Raises:
        MissingDependencyError: If pandas is not installed.
    """
    return _frame([trajectory_row(summary) for summary in summaries], _SUMMARY_COLUMNS)


def turn_table(trajectories: Iterable[Trajectory]) -> "pandas.DataFrame":
    """Return a table with a row per turn.

    Raises:
        MissingDependencyError: If pandas is not installed.
    """
    rows = [
        turn_row(trajectory, k) for trajectory in trajectories for k in range(len(trajectory.turns))
    ]
    return _frame(rows, _TURN_COLUMNS)


def trajectory_row(summary: Summary) -> dict[str, Any]:
    """Return a trajectory as a row; its environment's figures stand under `metrics/<name>`."""
    row = summary.to_header()
    metrics = row.pop("metrics")
    return row | {f"metrics/{name}": value for name, value in metrics.items()}


def turn_row(trajectory: Trajectory, k: int) -> dict[str, Any]:
    """Return turn number k as a row; its extra arrays stand under `arrays/<name>`."""
    turn = trajectory.turns[k]
    return {
        "trajectory_id": trajectory.id,
        "env_id": trajectory.env_id,
        "task_id": trajectory.task_id,
        "group_id": trajectory.group_id,
        "step": trajectory.meta.get("step"),
        "turn": k,
        **{name: getattr(turn, name) for name in _TURN_FIELDS},
        **{f"arrays/{name}": values for name, values in turn.arrays.items()},
    }


def _frame(rows: list[dict[str, Any]], fixed: tuple[str, ...]) -> "pandas.DataFrame":
    try:
        import pandas
    except ImportError as fault:
        raise MissingDependencyError("pandas", "data") from fault

    # Fixed columns come first and are there even in an empty table; the rest as they turn up.
    columns = list(dict.fromkeys([*fixed, *(name for row in rows for name in row)]))
    return pandas.DataFrame(rows, columns=columns)
