"""A disk that fails a writer: the error says what to do, and what was added is still read."""

import errno
import os
import re

import pytest
from store_cases import episode, same

from agentgym.errors import StoreError, UsageError
from agentgym.store import Store, StoreWriter
from agentgym.store.frame import encode_frame
from agentgym.store.segment import SegmentWriter


class Disk:
    """Fails what `os` is asked to do with the store's files, as it is told to.

    Attributes:
        failing: Pairs of what fails (write, seal, fsync, close) and for which kind of file.
        done: What was asked for, in the same words.
    """

    def __init__(self, monkeypatch):
        self.failing = set()
        self.done = []
        self._real = {"write": os.write, "fsync": os.fsync, "close": os.close}
        for name in self._real:
            monkeypatch.setattr(os, name, lambda file, *data, n=name: self._do(n, file, *data))

    def _do(self, name, file, *data):
        link = f"/proc/self/fd/{file}"
        kind = os.readlink(link).rpartition(".")[2] if os.path.lexists(link) else "closed"
        if kind not in ("agl", "pack"):
            return self._real[name](file, *data)
        what = "seal" if data and b'"kind":"seal"' in bytes(data[0]) else name
        self.done.append((what, kind))
        fails = (what, kind) in self.failing
        if fails and name == "write":
            self._real[name](file, bytes(data[0])[:9])
        if not fails or name == "close":
            result = self._real[name](file, *data)
        if fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return result


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


def add(writer, *seeds):
    for seed in seeds:
        writer.add(episode(seed, image_side=8))


def readable(run):
    """The ids in a store of which every byte is in order."""
    store = Store.open(run)
    assert store.damage == []
    assert store.torn_bytes == 0
    assert all(same(t, episode(t.seed, image_side=8)) for t in store)
    return [trajectory.id for trajectory in store]


def held_open(folder):
    """The folder's files that this process holds open."""
    files = [f"/proc/self/fd/{file}" for file in os.listdir("/proc/self/fd")]
    links = [os.readlink(file) for file in files if os.path.lexists(file)]
    return [link for link in links if link.startswith(f"{folder}/")]


def test_a_full_disk_is_an_error_and_damages_nothing(tmp_path, disk):
    with StoreWriter(tmp_path) as writer:
        add(writer, 0)
        disk.failing = {("write", "agl")}
        with pytest.raises(StoreError, match="can't be written: No space left on device; free"):
            add(writer, 1)
        # What was added before is no longer synced by anybody else.
        assert disk.done[-2:] == [("fsync", "agl"), ("close", "agl")]
        disk.failing.clear()
        add(writer, 2)
    assert readable(tmp_path) == ["episode-0", "episode-2"]
    assert held_open(tmp_path) == []


@pytest.mark.parametrize("kind", ["agl", "pack"])
def test_after_a_failed_sync_the_next_add_begins_another_file(tmp_path, disk, kind):
    with StoreWriter(tmp_path, sync_seconds=0.0) as writer:
        add(writer, 0)
        disk.failing = {("fsync", kind)}
        said = rf"/trajectories/\S+\.{kind} can't be synced: No space left on device; .* add"
        with pytest.raises(StoreError, match=said):
            add(writer, 1)
        disk.failing.clear()
        add(writer, 2)
    assert readable(tmp_path) == ["episode-0", "episode-1", "episode-2"]
    assert len(list(tmp_path.rglob(f"*.{kind}"))) == 2
    assert held_open(tmp_path) == []


@pytest.mark.parametrize("step", ["seal", "fsync", "close"])
@pytest.mark.parametrize("kind", ["agl", "pack"])
def test_a_file_that_could_not_be_sealed_is_not_written_to_again(tmp_path, disk, kind, step):
    with StoreWriter(tmp_path, segment_bytes=1) as writer:
        disk.failing = {(step, kind)}
        # What closing could report, the sync before it has waited for.
        if step == "close":
            add(writer, 0)
        else:
            with pytest.raises(StoreError, match=rf"\.{kind} can't be"):
                add(writer, 0)
        disk.failing.clear()
        add(writer, 0, 1)
    assert held_open(tmp_path) == []
    assert disk.done.count(("close", kind)) == len(list(tmp_path.rglob(f"*.{kind}")))
    assert readable(tmp_path) == ["episode-0", "episode-1"]


@pytest.mark.parametrize("segment_bytes", [1, 1 << 20])
def test_images_of_a_pack_that_was_not_synced_are_written_again(tmp_path, disk, segment_bytes):
    with StoreWriter(tmp_path, segment_bytes=segment_bytes, sync_seconds=0.0) as writer:
        disk.failing = {("fsync", "pack")}
        with pytest.raises(StoreError, match="can't be synced"):
            add(writer, 0)
        disk.failing.clear()
        add(writer, 0)
    min(tmp_path.rglob("*.pack")).unlink()  # what was not synced may be gone
    assert readable(tmp_path) == ["episode-0"]


@pytest.mark.parametrize("step", ["seal", "fsync"])
@pytest.mark.parametrize("kinds", [["pack"], ["agl"], ["pack", "agl"]])
def test_closing_on_a_failing_disk_closes_both_files_once(tmp_path, disk, kinds, step):
    writer = StoreWriter(tmp_path)
    add(writer, 0)
    disk.failing = {(step, kind) for kind in kinds}
    with pytest.raises(StoreError, match=rf"\.{kinds[-1]} can't be"):
        writer.close()
    assert held_open(tmp_path) == []
    writer.close()
    assert disk.done.count(("close", "agl")) == disk.done.count(("close", "pack")) == 1
    with pytest.raises(UsageError, match="is closed"):
        add(writer, 1)
    assert readable(tmp_path) == ["episode-0"]


def test_a_segment_is_abandoned_once(tmp_path):
    segment = SegmentWriter(tmp_path / "one.agl")
    segment.append(encode_frame({"kind": "rewind"}))
    segment.abandon()
    other = os.open(tmp_path / "another", os.O_CREAT | os.O_RDWR)  # takes the number that is free
    try:
        segment.abandon()
        with pytest.raises(StoreError, match=re.escape(f"{segment.path} can't be written")):
            segment.append(b"late")
        assert os.fstat(other).st_size == 0
    finally:
        os.close(other)
