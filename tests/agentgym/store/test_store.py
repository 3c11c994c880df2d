"""The store's two ends: adding, listing, patching, watching, and what a table of it looks like."""

import os
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from store_cases import episode, same

from agentgym.errors import DataError, MissingDependencyError, StoreError, UsageError
from agentgym.store import Rows, Store, StoreWriter, TurnPatch


def add(run, *seeds, **given):
    with Store.writer(run) as writer:
        for seed in seeds:
            writer.add(episode(seed, **given))


def ids(store):
    return [summary.id for summary in store.summaries()]


def set_clock(monkeypatch, *times):
    """Let the writers' clocks show these times, one at each look."""
    clock = SimpleNamespace(time=iter(times).__next__, monotonic=time.monotonic)
    monkeypatch.setattr("agentgym.store.writer.time", clock)


def test_what_was_added_is_listed_and_found_in_order(tmp_path):
    add(tmp_path, *range(5))
    store = Store.open(tmp_path)
    assert len(store) == 5
    assert ids(store) == [trajectory.id for trajectory in store]
    assert "episode-3" in store
    assert "episode-9" not in store
    assert same(store["episode-3"], episode(3))
    with pytest.raises(StoreError, match="holds no trajectory 'episode-9'"):
        store["episode-9"]


def test_listing_reads_no_body(tmp_path, monkeypatch):
    add(tmp_path, 0, 1, 2, 3)
    monkeypatch.setattr("agentgym.store.segment.Located.body", lambda self: pytest.fail("read"))
    store = Store.open(tmp_path)
    assert [s.id for s in store.summaries(lambda s: s.success)] == ["episode-1", "episode-3"]
    assert {name: len(members) for name, members in store.groups().items()} == {"group-0": 4}
    assert len(store.to_pandas()) == 4


def test_filters_choose_what_is_read(tmp_path):
    add(tmp_path, *range(6))
    chosen = Store.open(tmp_path).trajectories(lambda summary: summary.group_id == "group-1")
    assert [trajectory.id for trajectory in chosen] == ["episode-4", "episode-5"]


def test_a_trajectory_added_again_replaces_the_first(tmp_path):
    add(tmp_path, 0, 1)
    add(tmp_path, 0, goal="again")
    store = Store.open(tmp_path)
    assert ids(store) == ["episode-0", "episode-1"]
    assert store["episode-0"].goal == "again"


def test_watching_several_writers(tmp_path):
    with StoreWriter(tmp_path) as first, StoreWriter(tmp_path) as second:
        store = Store.open(tmp_path)
        assert store.refresh() == []
        second.add(episode(1))
        assert [summary.id for summary in store.refresh()] == ["episode-1"]
        first.add(episode(0))
        second.add(episode(2))
        assert {summary.id for summary in store.refresh()} == {"episode-0", "episode-2"}
        assert store.refresh() == []
        assert ids(store)[0] == "episode-1"


def test_patches_lie_over_the_turns_wherever_they_come_from(tmp_path):
    with StoreWriter(tmp_path) as rollout, StoreWriter(tmp_path) as learner:
        rollout.add(episode(0))
        store = Store.open(tmp_path)
        entropy = np.arange(4, dtype=np.float32)
        learner.patch("episode-0", [TurnPatch(1, advantage=-0.5, arrays={"entropy": entropy})])
        learner.patch("episode-0", [TurnPatch(1, value=2.0), TurnPatch(2, advantage=1.0)])
        learner.patch("episode-0", meta={"used": 3})
        # The figures may be there before the trajectory is.
        learner.patch("episode-1", [TurnPatch(0, advantage=7.0)])
        rollout.add(episode(1))
        store.refresh()
    for reader in (store, Store.open(tmp_path)):
        expected = episode(0)
        expected.turns[1].advantage = -0.5
        expected.turns[1].value = 2.0
        expected.turns[1].arrays["entropy"] = entropy
        expected.turns[2].advantage = 1.0
        expected.meta["used"] = 3
        assert same(reader["episode-0"], expected)
        assert reader["episode-1"].turns[0].advantage == 7.0


def test_the_newest_patch_wins_whichever_file_it_is_in(tmp_path, monkeypatch):
    set_clock(monkeypatch, 100.0, 103.0, 101.0, 102.0)
    with StoreWriter(tmp_path) as first, StoreWriter(tmp_path) as second:
        first._name, second._name = "1-first", "2-second"
        second.add(episode(0))
        watching = Store.open(tmp_path)
        first.patch("episode-0", [TurnPatch(0, value=103.0)], meta={"at": 103})
        second.patch("episode-0", [TurnPatch(0, value=101.0, advantage=101.0)], meta={"at": 101})
        watching.refresh()
        second.patch("episode-0", [TurnPatch(0, value=102.0)], meta={"at": 102})
        watching.refresh()
    for store in (watching, Store.open(tmp_path)):
        patched = store["episode-0"]
        assert patched.meta["at"] == 103
        assert patched.turns[0].value == 103.0
        assert patched.turns[0].advantage == 101.0


def test_a_writers_later_patch_wins_when_the_clock_was_set_back(tmp_path, monkeypatch):
    set_clock(monkeypatch, 100.0, 90.0)
    with StoreWriter(tmp_path) as writer:
        writer.patch("episode-0", meta={"at": "first"})
        writer.patch("episode-0", meta={"at": "second"})
        monkeypatch.undo()
        writer.add(episode(0))
    assert Store.open(tmp_path)["episode-0"].meta["at"] == "second"


def test_a_patch_of_a_turn_that_is_not_there_is_said(tmp_path):
    with StoreWriter(tmp_path) as writer:
        writer.add(episode(0))
        writer.patch("episode-0", [TurnPatch(3, value=1.0)])
    with pytest.raises(StoreError, match="patches turn 3 of trajectory episode-0, which has 3"):
        Store.open(tmp_path)["episode-0"]


def test_rewinding_takes_back_later_steps_and_not_what_follows(tmp_path):
    with StoreWriter(tmp_path) as before:
        for seed in (0, 8, 16):
            before.add(episode(seed))  # steps 0, 1, 2
        before.add(episode(99, meta={}))
        watching = Store.open(tmp_path)
        with StoreWriter(tmp_path) as after:
            after.rewind(0)
            after.add(episode(8, id="episode-8-again"))
            watching.refresh()
    for store in (watching, Store.open(tmp_path)):
        assert set(ids(store)) == {"episode-0", "episode-99", "episode-8-again"}


def test_images_are_stored_once(tmp_path):
    trajectory = episode(0, turns=4, image_side=32)
    for turn in trajectory.turns[1:]:
        turn.image = trajectory.turns[0].image.copy()
    trajectory.turns[2].image = None
    with StoreWriter(tmp_path) as writer:
        writer.add(trajectory)
        writer.add(episode(0, turns=4, image_side=32, id="another"))
    store = Store.open(tmp_path)
    assert same(store["episode-0"], trajectory)
    assert len(store.images) == 4
    assert store.summary("episode-0").images == 3
    without = store.get("episode-0", images=False)
    assert [turn.image for turn in without.turns] == [None] * 4


def test_an_image_whose_pack_is_gone_is_said(tmp_path):
    add(tmp_path, 0, image_side=8)
    (pack,) = (tmp_path / "trajectories").glob("*.pack")
    pack.unlink()
    with pytest.raises(StoreError, match=r"has no image .*; its pack file is missing"):
        Store.open(tmp_path)["episode-0"]


def test_files_are_rotated(tmp_path):
    with Store.writer(tmp_path, segment_bytes=4000) as writer:
        for seed in range(20):
            writer.add(episode(seed, image_side=16))
    folder = tmp_path / "trajectories"
    assert len(list(folder.glob("*.agl"))) > 3
    assert len(list(folder.glob("*.pack"))) > 3
    store = Store.open(tmp_path)
    assert ids(store) == [f"episode-{seed}" for seed in range(20)]
    assert all(same(t, episode(t.seed, image_side=16)) for t in store)


def test_more_files_than_are_held_open(tmp_path):
    with Store.writer(tmp_path, segment_bytes=1) as writer:
        for seed in range(100):
            writer.add(episode(seed, turns=1))
    before = len(os.listdir("/proc/self/fd"))
    store = Store.open(tmp_path)
    assert all(same(t, episode(t.seed, turns=1)) for t in store)
    assert len(os.listdir("/proc/self/fd")) - before <= 64
    del store
    assert len(os.listdir("/proc/self/fd")) == before


def test_threads_share_a_writer(tmp_path):
    with Store.writer(tmp_path) as writer:
        threads = [
            threading.Thread(target=lambda n=n: [writer.add(episode(n * 50 + k)) for k in range(8)])
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    store = Store.open(tmp_path)
    assert len(store) == 32
    assert all(same(trajectory, episode(trajectory.seed)) for trajectory in store)


def test_a_forked_child_gets_files_of_its_own(tmp_path):
    writer = Store.writer(tmp_path)
    writer.add(episode(0))
    child = os.fork()
    if child == 0:
        writer.add(episode(1))
        writer.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    writer.add(episode(2))
    writer.close()
    files = list((tmp_path / "trajectories").glob("*.agl"))
    assert len(files) == 2
    assert set(ids(Store.open(tmp_path))) == {"episode-0", "episode-1", "episode-2"}


def test_a_writer_that_adds_nothing_leaves_no_file(tmp_path):
    Store.writer(tmp_path).close()
    assert list((tmp_path / "trajectories").iterdir()) == []
    assert len(Store.open(tmp_path)) == 0


def test_a_closed_writer_says_so(tmp_path):
    writer = Store.writer(tmp_path)
    writer.close()
    writer.close()
    with pytest.raises(UsageError, match="is closed"):
        writer.add(episode(0))


def test_reading_writes_nothing(tmp_path):
    add(tmp_path, 0, 1, image_side=8)

    def state():
        paths = sorted(tmp_path.rglob("*"))
        return [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths]

    before = state()
    store = Store.open(tmp_path)
    assert len(list(store)) == 2
    store.refresh()
    assert state() == before


def test_a_folder_without_a_store_is_said(tmp_path):
    with pytest.raises(DataError, match=r"holds no trajectories/ folder; give the directory"):
        Store.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_said():
    with pytest.raises(StoreError, match="can't be made"):
        Store.writer(Path("/proc/nowhere"))


def test_tables(tmp_path):
    add(tmp_path, 0, 1)
    with Store.writer(tmp_path) as writer:
        writer.patch("episode-1", [TurnPatch(0, arrays={"entropy": np.ones(2, np.float32)})])
    store = Store.open(tmp_path)
    by_trajectory = store.to_pandas()
    assert list(by_trajectory["id"]) == ["episode-0", "episode-1"]
    assert list(by_trajectory["metrics/doors"]) == [0.0, 1.0]
    by_turn = store.to_pandas(Rows.TURN, where=lambda summary: summary.success)
    assert list(by_turn["turn"]) == [0, 1, 2]
    assert same(by_turn["logprobs"][2], episode(1).turns[2].logprobs)
    assert list(by_turn["arrays/entropy"][0]) == [1.0, 1.0]
    empty = store.to_pandas("turn", where=lambda summary: False)
    assert len(empty) == 0
    assert "observation" in empty.columns


def test_a_table_without_pandas_names_the_extra(tmp_path, monkeypatch):
    add(tmp_path, 0)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependencyError, match=r"agentgym-suite\[data\]"):
        Store.open(tmp_path).to_pandas()
