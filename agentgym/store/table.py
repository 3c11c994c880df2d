"""The store as a pandas table: a row per trajectory, or a row per turn with its arrays."""

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from agentgym.errors import MissingDependencyError
from agentgym.store.reader import Rows, Store
from agentgym.store.summary import Summary
from agentgym.trajectory import Trajectory, Turn

if TYPE_CHECKING:
    import pandas

_SUMMARY_COLUMNS = tuple(field.name for field in fields(Summary) if field.name != "metrics")
_TURN_FIELDS = tuple(
    field.name for field in fields(Turn) if field.name not in ("image", "calls", "arrays")
)
_TURN_COLUMNS = ("trajectory_id", "env_id", "task_id", "group_id", "step", "turn", *_TURN_FIELDS)


def to_pandas(
    store: Store, rows: Rows, where: Callable[[Summary], bool] | None
) -> "pandas.DataFrame":
    """Return a table of the trajectories for which `where` holds.

    Raises:
        MissingDependencyError: If pandas is not installed.
    """
    try:
        import pandas
    except ImportError as fault:
        raise MissingDependencyError("pandas", "data") from fault

    if rows is Rows.TRAJECTORY:
        table = [trajectory_row(summary) for summary in store.summaries(where)]
        return pandas.DataFrame(table, columns=_columns(table, _SUMMARY_COLUMNS))
    records = [
        turn_row(trajectory, k)
        for trajectory in store.trajectories(where, images=False)
        for k in range(len(trajectory.turns))
    ]
    return pandas.DataFrame(records, columns=_columns(records, _TURN_COLUMNS))


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


def _columns(rows: list[dict[str, Any]], fixed: tuple[str, ...]) -> list[str]:
    # Fixed ones come first and are there even in an empty table; the rest as they turn up.
    return list(dict.fromkeys([*fixed, *(name for row in rows for name in row)]))
