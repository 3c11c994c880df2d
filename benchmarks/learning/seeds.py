"""What the learning benchmarks share: runs side by side, figures over seeds, how both are kept."""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

R = TypeVar("R")

Spread = tuple[float, float]
"""Mean and standard deviation over the seeds."""


class Parser(argparse.ArgumentParser):
    """Reads the options that all have: how many seeds, how many runs at a time, and where to.

    Args:
        doc: The script's docstring.
        name: What the folder of results begins with.
    """

    def __init__(self, doc: str | None, name: str) -> None:
        super().__init__(description=(doc or "").partition("\n")[0])
        self.add_argument("--seeds", type=int, default=3)
        self.add_argument(
            "--workers", type=int, default=len(os.sched_getaffinity(0)), help="runs at a time"
        )
        out = Path("runs") / time.strftime(f"{name}-%H%M%S")
        self.add_argument("--out", type=Path, default=out, help="folder of results")

    def counts(self) -> argparse.Namespace:
        """Return what the command line says, where every number counts something."""
        arguments = self.parse_args()
        for name, value in vars(arguments).items():
            if isinstance(value, int) and value < 1:
                self.error(f"--{name} must be at least 1")
        return arguments


@contextmanager
def workers(count: int) -> Generator[ProcessPoolExecutor]:
    """Lend processes of one thread each."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        yield pool


def spread(values: Sequence[float]) -> Spread:
    """Return mean and standard deviation; 0 where there is one value."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def shown(figures: Spread) -> str:
    """Write fractions as points."""
    return f"{100 * figures[0]:.1f} ± {100 * figures[1]:.1f}"


def quiet(line: str) -> None:
    """Say nothing: the runs go side by side."""
    del line


def gathered(runs: Sequence[Future[R]], on_row: Callable[[list[R]], None]) -> list[R]:
    """Return what all runs give; a run that fails costs its own row, and the exit status.

    Args:
        runs: Under way.
        on_row: Told of all rows so far as each comes in.
    """
    rows = list[R]()
    for run in as_completed(runs):
        if run.exception() is None:
            rows.append(run.result())
            on_row(rows)
        else:
            print(f"a run failed: {run.exception()!r}", file=sys.stderr, flush=True)
    if len(rows) < len(runs):
        sys.exit(f"{len(runs) - len(rows)} of {len(runs)} runs failed; no means over the seeds")
    return rows


def write_result(folder: Path, rows: Sequence[Any], **more: Any) -> None:
    """Write rows, which are dataclasses, and what else is known to FOLDER/result.json."""
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "command": " ".join(sys.argv),
        "rows": [asdict(row) for row in rows],
        **more,
    }
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n")


def train(algorithm: str, folder: Path, model: Path, settings: Mapping[str, Any]) -> list[Path]:
    """Train on one thread, and return the folders of checkpoints' models, oldest first.

    Args:
        algorithm: The trainer's name.
        folder: Where the run goes.
        model: The folder of the model to start from.
        settings: Its configuration.
    """
    import torch

    from agentgym.config import load
    from agentgym.registry import trainers
    from agentgym.run_dir import RunDir

    torch.set_num_threads(1)
    trainer: Any = trainers.load(algorithm)
    config = load(trainer.config_class, [], [f"model.path={model}"], dict(settings))
    run = RunDir.create(folder, command=f"train {algorithm}", config=config)
    trainer(config, run).train()
    return [checkpoint / "model" for checkpoint in sorted(run.checkpoints.glob("step-*"))]
