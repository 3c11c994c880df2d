"""Where a verb's run is written, and what becomes of the folder when nothing came of the run."""

import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agentgym.config import Config
from agentgym.run_dir import RunDir


def run_folder(out: Path | None, verb: str) -> Path:
    """Return where a run is written; two processes that start at once get folders of their own."""
    return out or Path("runs") / f"{verb}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


@contextmanager
def new_run(path: Path, command: str, config: Config | None = None) -> Generator[RunDir]:
    """Make a run, and take it away again if what is done with it fails before it kept anything.

    The corrected command needs the place, and a folder without a figure or an episode is no run.

    Args:
        path: Its folder; must be new or empty.
        command: What makes it.
        config: Its configuration.

    Raises:
        UsageError: If the folder already holds something.
        DataError: If it can't be written to.
    """
    was_there = path.exists()
    run = RunDir.create(path, command=command, config=config)
    try:
        yield run
    except Exception:
        if not _kept(run):
            _remove(run.path, folder_too=not was_there)
        raise


def _kept(run: RunDir) -> bool:
    ours = (run.path / "run.json", run.config_file)
    return any(
        file.stat().st_size for file in run.path.rglob("*") if file.is_file() and file not in ours
    )


def _remove(path: Path, *, folder_too: bool) -> None:
    for entry in path.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if folder_too:
        path.rmdir()
