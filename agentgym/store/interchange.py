"""`export`: a run's trajectories as a file that other programs read.

`jsonl` is one chat per line in OpenAI's shape, for fine-tuning; images lie beside it as PNG files.
`parquet` is one row per trajectory with tokens, log-probabilities and images, for analysis. Both
open with `datasets.load_dataset`.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from agentgym.errors import UnknownNameError, UsageError
from agentgym.files import replacing, strict_json, write_atomically
from agentgym.store.chat import chat_row
from agentgym.store.images import image_hash, png
from agentgym.store.parquet import write_parquet
from agentgym.store.reader import Store
from agentgym.store.summary import Summary
from agentgym.store.where import parse_conditions
from agentgym.trajectory import Trajectory


class Format(StrEnum):
    """What to export to; the value is the file's suffix."""

    JSONL = "jsonl"
    """One chat per line."""
    PARQUET = "parquet"
    """One row per trajectory, with its tokens."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        path: The file.
        format: Its format.
        trajectories: How many trajectories it holds.
    """

    path: Path
    format: Format
    trajectories: int


def export(
    run_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    format: Format | str | None = None,
    where: Callable[[Summary], bool] | Sequence[str] | None = None,
) -> Exported:
    """Write a run's trajectories to a file; it appears when it is complete.

    Args:
        run_dir: The run's directory.
        out: The file.
        format: "jsonl" or "parquet"; by default what the file's suffix says.
        where: Which trajectories: a function from `Summary` to bool, or conditions such as
            "success=true".

    Raises:
        UsageError: If the format is not known, or no trajectory fits.
        StoreError: If the run can't be read.
        DataError: If the file can't be written.
        MissingDependencyError: If the format needs a package that is not installed.
    """
    out = Path(out)
    kind = _format(out.suffix.removeprefix(".") if format is None else str(format))
    condition = where if where is None or callable(where) else parse_conditions(where)
    store = Store.open(run_dir)
    chosen = store.summaries(condition)
    if not chosen:
        raise UsageError(f"None of the {len(store)} trajectories of {run_dir} fits; nothing to do")
    ids = {summary.id for summary in chosen}
    trajectories = store.trajectories(lambda summary: summary.id in ids)
    with replacing(out) as draft:
        if kind is Format.PARQUET:
            count = write_parquet(trajectories, draft)
        else:
            vision = any(summary.images for summary in chosen)
            count = _write_jsonl(trajectories, draft, out.with_suffix("") if vision else None)
    return Exported(out, kind, count)


def _format(name: str) -> Format:
    known = [str(kind) for kind in Format]
    if name not in known:
        raise UnknownNameError("export format", name, known)
    return Format(name)


def _write_jsonl(trajectories: Iterator[Trajectory], draft: Path, images: Path | None) -> int:
    count = 0
    with draft.open("w", encoding="utf-8") as file:
        for trajectory in trajectories:
            addresses = None if images is None else _write_images(trajectory, images)
            file.write(strict_json(chat_row(trajectory, addresses)) + "\n")
            count += 1
    return count


def _write_images(trajectory: Trajectory, folder: Path) -> list[str | None]:
    addresses: list[str | None] = []
    for turn in trajectory.turns:
        if turn.image is None:
            addresses.append(None)
            continue
        path = folder / f"{image_hash(turn.image)}.png"
        if not path.exists():
            write_atomically(path, png(turn.image))
        addresses.append(f"{folder.name}/{path.name}")
    return addresses
