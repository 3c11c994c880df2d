"""The trajectory store beside what one would use instead: SQLite (WAL) and Parquet shards.

All three keep the same trajectories with the same promise, that what was added survives the death
of its writer; Parquet can't promise that for the rows of a shard that is not written yet, so it is
given 64 at a time. SQLite's rows hold the store's own compressed body, so the difference is the
container. Episodes are made beforehand; several processes write at once. Prints one table and the
ratios to ours.

    python benchmarks/store.py [--episodes 2000] [--writers 2]
"""

import argparse
import os
import random
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow
import pyarrow.parquet

from agentgym.stop_reason import StopReason
from agentgym.store import Store, Summary
from agentgym.store.codec import decode_trajectory, encode_trajectory
from agentgym.store.parquet import parquet_row, parquet_schema
from agentgym.trajectory import Trajectory, Turn

TURNS = 8
TOKENS = 256
SHARD = 64
READS = 300


class Backend(Protocol):
    """One way to keep trajectories in a folder."""

    name: str

    def write(self, folder: Path, writer: int, trajectories: Sequence[Trajectory]) -> list[float]:
        """Add one by one; return the seconds that each call took."""
        ...

    def list(self, folder: Path) -> list[tuple[str, bool, float]]:
        """Return id, success and reward of every trajectory."""
        ...

    def reader(self, folder: Path) -> Callable[[str], object]:
        """Return a function that reads a trajectory by id."""
        ...


class AppendLog:
    """Ours."""

    name = "agentgym store"

    def write(self, folder: Path, writer: int, trajectories: Sequence[Trajectory]) -> list[float]:
        """Add one by one; return the seconds that each call took."""
        seconds: list[float] = []
        with Store.writer(folder) as store:
            for trajectory in trajectories:
                begin = time.perf_counter()
                store.add(trajectory)
                seconds.append(time.perf_counter() - begin)
        return seconds

    def list(self, folder: Path) -> list[tuple[str, bool, float]]:
        """Return id, success and reward of every trajectory."""
        return [(s.id, s.success, s.reward) for s in Store.open(folder).summaries()]

    def reader(self, folder: Path) -> Callable[[str], object]:
        """Return a function that reads a trajectory by id."""
        return Store.open(folder).get


class SQLite:
    """A row per trajectory, each in a transaction of its own."""

    name = "SQLite WAL"

    def write(self, folder: Path, writer: int, trajectories: Sequence[Trajectory]) -> list[float]:
        """Add one by one; return the seconds that each call took."""
        base = self._open(folder)
        base.execute(
            "CREATE TABLE IF NOT EXISTS trajectories"
            " (id TEXT PRIMARY KEY, success INT, reward REAL, task TEXT, body BLOB)"
        )
        seconds: list[float] = []
        for trajectory in trajectories:
            begin = time.perf_counter()
            summary = Summary.of(trajectory)
            body = encode_trajectory(trajectory, [None] * len(trajectory.turns), level=3)
            row = (summary.id, summary.success, summary.reward, summary.task_id, body)
            base.execute("INSERT INTO trajectories VALUES (?, ?, ?, ?, ?)", row)
            seconds.append(time.perf_counter() - begin)
        base.close()
        return seconds

    def list(self, folder: Path) -> list[tuple[str, bool, float]]:
        """Return id, success and reward of every trajectory."""
        return self._open(folder).execute("SELECT id, success, reward FROM trajectories").fetchall()

    def reader(self, folder: Path) -> Callable[[str], object]:
        """Return a function that reads a trajectory by id."""
        base = self._open(folder)

        def read(trajectory_id: str) -> object:
            query = "SELECT body FROM trajectories WHERE id = ?"
            return decode_trajectory(base.execute(query, (trajectory_id,)).fetchone()[0], None)

        return read

    def _open(self, folder: Path) -> sqlite3.Connection:
        base = sqlite3.connect(folder / "trajectories.sqlite", timeout=60, isolation_level=None)
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=NORMAL")
        return base


class ParquetShards:
    """A file per 64 trajectories, in the schema of `agentgym export`."""

    name = f"Parquet, {SHARD} a shard"

    def write(self, folder: Path, writer: int, trajectories: Sequence[Trajectory]) -> list[float]:
        """Add one by one; return the seconds that each call took."""
        schema = parquet_schema()
        seconds: list[float] = []
        for first in range(0, len(trajectories), SHARD):
            begin = time.perf_counter()
            rows = [parquet_row(trajectory) for trajectory in trajectories[first : first + SHARD]]
            table = pyarrow.Table.from_pylist(rows, schema)
            path = folder / f"{writer}-{first:08d}.parquet"
            pyarrow.parquet.write_table(table, path, compression="zstd", compression_level=3)
            seconds.append(time.perf_counter() - begin)
        return seconds

    def list(self, folder: Path) -> list[tuple[str, bool, float]]:
        """Return id, success and reward of every trajectory."""
        columns = ["id", "success", "reward"]
        found: list[tuple[str, bool, float]] = []
        for path in sorted(folder.glob("*.parquet")):
            table = pyarrow.parquet.read_table(path, columns=columns)
            found += zip(*(table[name].to_pylist() for name in columns), strict=True)
        return found

    def reader(self, folder: Path) -> Callable[[str], object]:
        """Return a function that reads a trajectory by id."""
        # An index of ids to shards spares the search; what is left is the cost of the format.
        shards = {
            trajectory_id: path
            for path in folder.glob("*.parquet")
            for trajectory_id in pyarrow.parquet.read_table(path, columns=["id"])["id"].to_pylist()
        }

        def read(trajectory_id: str) -> object:
            filters = [("id", "=", trajectory_id)]
            table = pyarrow.parquet.read_table(shards[trajectory_id], filters=filters)
            return table.to_pylist()[0]

        return read


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured; a turn has 256 sampled tokens and about 2 KB of text."""

    writes: float  # turns per second, all writers together
    p99: float  # milliseconds of one call
    listing: float  # trajectories listed per second, opening included
    reads: float  # trajectories read by id per second
    size: float  # MB per 100,000 turns


def measure(backend: Backend, shares: Sequence[Sequence[Trajectory]]) -> Result:
    folder = Path(tempfile.mkdtemp(prefix="agentgym-store-"))
    try:
        episodes = sum(map(len, shares))
        begin = time.perf_counter()
        pipes = [_fork(backend, folder, number, share) for number, share in enumerate(shares)]
        seconds = [float(word) for pipe in pipes for word in _read_all(pipe).split()]
        elapsed = time.perf_counter() - begin
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        begin = time.perf_counter()
        listed = backend.list(folder)
        listing = time.perf_counter() - begin
        assert len(listed) == episodes, f"{backend.name} lost {episodes - len(listed)}"
        read = backend.reader(folder)
        wanted = random.Random(0).sample([row[0] for row in listed], min(READS, episodes))
        begin = time.perf_counter()
        for trajectory_id in wanted:
            read(trajectory_id)
        reading = time.perf_counter() - begin
    finally:
        shutil.rmtree(folder)
    return Result(
        writes=episodes * TURNS / elapsed,
        p99=float(np.percentile(seconds, 99)) * 1e3,
        listing=episodes / listing,
        reads=len(wanted) / reading,
        size=size / episodes / TURNS / 10,
    )


def _fork(backend: Backend, folder: Path, number: int, share: Sequence[Trajectory]) -> int:
    reading, writing = os.pipe()
    if os.fork() == 0:
        seconds = backend.write(folder, number, share)
        with os.fdopen(writing, "w") as pipe:
            pipe.write(" ".join(f"{value:.9f}" for value in seconds))
        os._exit(0)
    os.close(writing)
    return reading


def _read_all(pipe: int) -> str:
    with os.fdopen(pipe) as file:
        text = file.read()
    os.wait()
    return text


def make_episodes(count: int) -> list[Trajectory]:
    """Return trajectories of text with 4,000 words, and ids about as skewed as real ones."""
    rng = np.random.default_rng(0)
    words = ["".join(map(chr, rng.integers(97, 123, rng.integers(2, 10)))) for _ in range(4000)]

    def text(size: int) -> str:
        return " ".join(words[i] for i in rng.integers(0, len(words), size // 7))

    def ids(size: int) -> np.ndarray:
        return np.minimum(rng.zipf(1.2, size), 150_000).astype(np.int32)

    def turn() -> Turn:
        logprobs = -rng.exponential(0.5, TOKENS).astype(np.float32)
        return Turn(text(1500), text(600), 0.1, None, ids(2 * TOKENS), ids(TOKENS), logprobs)

    return [
        Trajectory(
            env_id="bench/Text-v0",
            task_id=f"task-{k % 100}",
            stop_reason=StopReason.SUCCESS if k % 3 else StopReason.TURN_LIMIT,
            turns=[turn() for _ in range(TURNS)],
            success=bool(k % 3),
            meta={"step": k // 64},
        )
        for k in range(count)
    ]


def _median(results: Sequence[Result]) -> Result:
    fields = Result.__slots__
    return Result(*(statistics.median(getattr(one, name) for one in results) for name in fields))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="the median is shown")
    given = parser.parse_args()
    episodes = make_episodes(given.episodes)
    shares = [episodes[n :: given.writers] for n in range(given.writers)]
    backends = (AppendLog(), SQLite(), ParquetShards())
    runs: dict[str, list[Result]] = {backend.name: [] for backend in backends}
    # In turn, so that what else the machine does falls on all alike.
    for _ in range(given.repeats):
        for backend in backends:
            runs[backend.name].append(measure(backend, shares))
    results = {name: _median(measured) for name, measured in runs.items()}
    print(f"{given.episodes} episodes of {TURNS} turns, {given.writers} writers")
    print(f"{'':22}{'writes':>12}{'p99':>9}{'listed':>12}{'read by id':>12}{'size':>14}")
    print(f"{'':22}{'turns/s':>12}{'ms':>9}{'per s':>12}{'per s':>12}{'MB/100k turns':>14}")
    for name, r in results.items():
        speeds = f"{r.writes:12,.0f}{r.p99:9.1f}{r.listing:12,.0f}{r.reads:12,.0f}"
        print(f"{name:22}{speeds}{r.size:14.0f}")
    ours, *others = results.items()
    for name, r in others:
        print(
            f"{ours[0]} against {name}: writes {ours[1].writes / r.writes:.2f} times, "
            f"lists {ours[1].listing / r.listing:.2f} times, "
            f"reads {ours[1].reads / r.reads:.2f} times as fast; "
            f"{ours[1].size / r.size:.2f} of the size"
        )


if __name__ == "__main__":
    main()
