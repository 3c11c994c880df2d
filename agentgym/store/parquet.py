"""Trajectories as a Parquet file, under one fixed schema: a row each, turns as lists.

The schema does not depend on the data, so files of several runs can be read as one table. What has
no fixed shape (tools, meta) is JSON text. Lists over turns all have one entry per turn.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from agentgym.errors import MissingDependencyError, StoreError
from agentgym.files import plain_text, strict_json
from agentgym.store.chat import messages
from agentgym.store.images import image_hash, png
from agentgym.trajectory import Trajectory

_ROWS_AT_A_TIME = 64


def write_parquet(trajectories: Iterable[Trajectory], path: Path) -> int:
    """Write trajectories to a Parquet file; return how many.

    Args:
        trajectories: Read one batch at a time.
        path: The file.

    Raises:
        MissingDependencyError: If pyarrow is not installed.
        StoreError: If a figure does not fit its column.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as fault:
        raise MissingDependencyError("pyarrow", "data") from fault

    schema, count = parquet_schema(), 0
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in _batches(parquet_row(trajectory) for trajectory in trajectories):
            try:
                writer.write_batch(pyarrow.RecordBatch.from_pylist(rows, schema))
            except (pyarrow.ArrowException, OverflowError) as fault:
                raise StoreError(f"Trajectories {count} and following: {fault}") from fault
            count += len(rows)
    return count


def parquet_schema() -> Any:
    """Return the schema of exported files, a `pyarrow.Schema` (pyarrow has no types to name it)."""
    import pyarrow as pa

    text, number, tokens = pa.string(), pa.float64(), pa.list_(pa.list_(pa.int32()))
    message = pa.struct([("role", text), ("content", text)])
    image = pa.struct([("bytes", pa.binary()), ("path", text)])
    array = pa.struct([("name", text), ("turn", pa.int32()), ("values", pa.list_(number))])
    return pa.schema(
        [
            ("id", text),
            ("env_id", text),
            ("task_id", text),
            ("group_id", text),
            ("seed", pa.int64()),
            ("step", pa.int64()),
            ("goal", text),
            ("success", pa.bool_()),
            ("reward", number),
            ("stop_reason", text),
            ("error", text),
            ("attempts", pa.int32()),
            ("started", number),
            ("seconds", number),
            ("messages", pa.list_(message)),
            ("tools", text),
            ("final_observation", text),
            ("rewards", pa.list_(number)),
            ("values", pa.list_(number)),
            ("advantages", pa.list_(number)),
            ("action_errors", pa.list_(text)),
            ("policy_versions", pa.list_(pa.int32())),
            ("exploratory", pa.list_(pa.bool_())),
            ("starts_sequence", pa.list_(pa.bool_())),
            ("prompt_ids", tokens),
            ("completion_ids", tokens),
            ("logprobs", pa.list_(pa.list_(pa.float32()))),
            ("arrays", pa.list_(array)),
            ("images", pa.list_(image)),
            ("meta", text),
        ]
    )


def parquet_row(trajectory: Trajectory) -> dict[str, Any]:
    """Return a trajectory as a row of `parquet_schema`."""
    turns = trajectory.turns
    step = trajectory.meta.get("step")
    return {
        "id": trajectory.id,
        "env_id": trajectory.env_id,
        "task_id": trajectory.task_id,
        "group_id": trajectory.group_id,
        "seed": trajectory.seed,
        "step": step if isinstance(step, int) else None,
        "goal": plain_text(trajectory.goal),
        "success": bool(trajectory.success),
        "reward": trajectory.reward,
        "stop_reason": str(trajectory.stop_reason),
        "error": None if trajectory.error is None else plain_text(trajectory.error),
        "attempts": trajectory.attempts,
        "started": trajectory.started,
        "seconds": trajectory.seconds,
        "messages": [
            {"role": message["role"], "content": plain_text(message["content"])}
            for message in messages(trajectory)
        ],
        "tools": strict_json(trajectory.tools),
        "final_observation": plain_text(trajectory.final_observation),
        "rewards": [float(turn.reward) for turn in turns],
        "values": [turn.value for turn in turns],
        "advantages": [turn.advantage for turn in turns],
        "action_errors": [
            None if turn.action_error is None else plain_text(turn.action_error) for turn in turns
        ],
        "policy_versions": [turn.policy_version for turn in turns],
        "exploratory": [turn.exploratory for turn in turns],
        "starts_sequence": [bool(turn.starts_sequence) for turn in turns],
        "prompt_ids": [turn.prompt_ids for turn in turns],
        "completion_ids": [turn.completion_ids for turn in turns],
        "logprobs": [turn.logprobs for turn in turns],
        "arrays": [
            {"name": name, "turn": k, "values": np.ravel(values).astype(np.float64)}
            for k, turn in enumerate(turns)
            for name, values in turn.arrays.items()
        ],
        "images": [
            None
            if turn.image is None
            else {"bytes": png(turn.image), "path": f"{image_hash(turn.image)}.png"}
            for turn in turns
        ],
        "meta": strict_json(trajectory.meta),
    }


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(rows, _ROWS_AT_A_TIME)):
        yield batch
