"""kill -9 in the middle of writing: what was acknowledged is there, and nothing is corrupt."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from store_cases import same
from store_writers import BIG, episode

from agentgym.store import Store

SUPPORT = Path(__file__).parents[2] / "support"
WRITERS = 4


def start_writers(run, first_seed):
    return subprocess.Popen(
        [sys.executable, SUPPORT / "store_writers.py", run, str(first_seed), str(WRITERS)],
        start_new_session=True,
    )


def acknowledged(run):
    return [int(line) for file in run.glob("acks-*") for line in file.read_text().split()]


def ids(store):
    return {summary.id for summary in store.summaries()}


def wait_for_acknowledgements(run, first_seed, writers, *, limit=60.0):
    end = time.monotonic() + limit
    while any(
        not (run / f"acks-{first_seed + n * 100_000}").exists()
        or not (run / f"acks-{first_seed + n * 100_000}").stat().st_size
        for n in range(writers)
    ):
        assert time.monotonic() < end, "the writers did not start"
        time.sleep(0.01)


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    # The forked writers are not our children; their group is gone when none is left.
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    pytest.fail("the writers did not die")


@pytest.mark.integration
def test_writers_killed_at_random_moments(tmp_path):
    chance = random.Random(0)
    watching = None
    for kills in range(1, 6):
        first_seed = kills * 1_000_000
        process = start_writers(tmp_path, first_seed)
        try:
            wait_for_acknowledgements(tmp_path, first_seed, WRITERS)
            watching = watching or Store.open(tmp_path)
            time.sleep(chance.uniform(0.0, 0.15))
        finally:
            kill(process)
        watching.refresh()
        fresh = Store.open(tmp_path)
        seeds = acknowledged(tmp_path)
        assert {f"episode-{seed}" for seed in seeds} <= ids(fresh)
        # Each writer may have finished one more that it had no time to acknowledge.
        assert len(seeds) <= len(fresh) <= len(seeds) + kills * WRITERS
        assert fresh.damage == []
        assert ids(watching) == ids(fresh)
    read = list(fresh)
    assert len(read) == len(fresh)
    assert all(same(trajectory, episode(trajectory.seed, **BIG)) for trajectory in read)


@pytest.mark.integration
def test_a_reader_beside_four_writers_sees_only_whole_trajectories(tmp_path):
    process = start_writers(tmp_path, 0)
    try:
        wait_for_acknowledgements(tmp_path, 0, WRITERS)
        store = Store.open(tmp_path)
        seen = store.summaries()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            new = store.refresh()
            for summary in new[-2:]:
                assert same(store[summary.id], episode(summary.seed, **BIG))
            seen += new
    finally:
        kill(process)
    seen += store.refresh()
    assert len(seen) == len({summary.id for summary in seen}) == len(store)
    assert len(store) >= len(acknowledged(tmp_path))
    assert store.damage == []
