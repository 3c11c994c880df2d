"""Torn, damaged and newer files: what is whole is read, what is not is never mistaken for it."""

import shutil

import numpy as np
import pytest
from store_cases import episode, same

from agentgym.errors import StoreError
from agentgym.store import Store, frame
from agentgym.store.open_files import OpenFiles
from agentgym.store.segment import SEGMENT, SegmentReader


@pytest.fixture
def three(tmp_path):
    """A run with three episodes in one segment, its file, and where each frame ends."""
    with Store.writer(tmp_path / "run", level=1) as writer:
        for seed in range(3):
            writer.add(episode(seed, turns=1, tokens=3))
    (file,) = (tmp_path / "run" / "trajectories").glob(f"*{SEGMENT}")
    frames = list(SegmentReader(file, OpenFiles()).scan())
    ends = [found.start + found.prefix.frame_bytes for found in frames]
    return tmp_path / "run", file, ends


def readable(store):
    """The ids that are listed and the ids that can be read; each read one is as it was added."""
    read = list(store)
    for trajectory in read:
        assert same(trajectory, episode(trajectory.seed, turns=1, tokens=3))
    return [summary.id for summary in store.summaries()], [trajectory.id for trajectory in read]


def test_cut_at_every_byte(three):
    run, file, ends = three
    data = file.read_bytes()
    file.write_bytes(b"")
    live = Store.open(run)
    with file.open("ab", buffering=0) as growing:
        for cut in range(1, len(data) + 1):
            growing.write(data[cut - 1 : cut])
            whole = [f"episode-{k}" for k in range(3) if ends[k] <= cut]
            new = [summary.id for summary in live.refresh()]
            assert new == (whole[-1:] if cut in ends[:3] else [])
            assert live.torn_bytes == cut - max(end for end in (0, *ends) if end <= cut)
            assert live.damage == []
            if cut % 16 == 0 or cut in ends:
                fresh = Store.open(run)
                assert readable(fresh) == readable(live) == (whole, whole)
                assert fresh.torn_bytes == live.torn_bytes


def test_a_flipped_bit_costs_its_own_frame_only(three):
    run, file, ends = three
    data = file.read_bytes()
    starts = [0, *ends]
    rng = np.random.default_rng(0)
    with file.open("r+b", buffering=0) as changing:
        for at in range(0, ends[2], 5):
            changing.seek(at)
            changing.write(bytes([data[at] ^ 1 << int(rng.integers(8))]))
            hit = sum(start <= at for start in starts) - 1
            _, read = readable(Store.open(run))
            assert read == [f"episode-{k}" for k in range(3) if k != hit], at
            changing.seek(at)
            changing.write(data[at : at + 1])


def test_damage_is_reported(three):
    run, file, ends = three
    data = bytearray(file.read_bytes())
    data[ends[0] + 4] ^= 0xFF
    file.write_bytes(data)
    store = Store.open(run)
    assert [(d.path, d.start, d.end) for d in store.damage] == [(file, ends[0], ends[1])]


def test_a_damaged_body_is_an_error_by_id_and_left_out_in_a_row(three, caplog):
    run, file, ends = three
    data = bytearray(file.read_bytes())
    data[ends[1] - 1] ^= 1
    file.write_bytes(data)
    store = Store.open(run)
    with pytest.raises(StoreError, match=r"does not fit its checksum"):
        store["episode-1"]
    assert [trajectory.id for trajectory in store] == ["episode-0", "episode-2"]
    assert "episode-1 is left out" in caplog.text


def test_a_frame_that_is_being_written_appears_when_it_is_whole(three):
    run, file, ends = three
    data = file.read_bytes()
    file.write_bytes(data[: ends[1]])
    store = Store.open(run)
    assert len(store) == 2
    for cut in (ends[1] + 3, ends[1] + 60, ends[2] - 1):
        file.write_bytes(data[:cut])
        assert store.refresh() == []
        assert store.torn_bytes == cut - ends[1]
    file.write_bytes(data)
    assert [summary.id for summary in store.refresh()] == ["episode-2"]
    assert store.refresh() == []


def test_text_that_looks_like_a_frame_is_no_frame(tmp_path):
    fake = episode(7)
    fake.turns[0].observation = frame.MAGIC.decode() * 50
    with Store.writer(tmp_path, level=-50) as writer:
        writer.add(fake)
        writer.add(episode(8))
    (file,) = (tmp_path / "trajectories").glob(f"*{SEGMENT}")
    data = bytearray(file.read_bytes())
    assert data.count(frame.MAGIC) > 3
    data[5] ^= 1
    file.write_bytes(data)
    assert [trajectory.id for trajectory in Store.open(tmp_path)] == ["episode-8"]


def test_a_newer_minor_version_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(frame, "SCHEMA", (1, 7))
    from agentgym.store import codec, writer

    def newer_body(trajectory, hashes, level):
        body = codec.decode_body(codec_encode(trajectory, hashes, level))
        body.document["mood"] = "good"
        body.document["turns"]["colour"] = ["red"] * len(trajectory.turns)
        body.columns["entropies"] = [turn.logprobs for turn in trajectory.turns]
        body.columns["thoughts"] = ["hm"] * len(trajectory.turns)
        return codec.encode_body(body, level)

    codec_encode = codec.encode_trajectory
    monkeypatch.setattr(writer, "encode_trajectory", newer_body)
    monkeypatch.setattr(
        writer,
        "encode_frame",
        lambda header, body=b"": frame.encode_frame({**header, "mood": "good"}, body),
    )
    with Store.writer(tmp_path) as w:
        w.add(episode(3))
        w._append(writer.encode_frame({"kind": "of the future"}))
    monkeypatch.undo()
    (kept,) = Store.open(tmp_path)
    for turn in kept.turns:
        assert same(turn.arrays.pop("entropies"), turn.logprobs)
        assert turn.arrays == {}
    assert same(kept, episode(3))


def test_a_newer_major_version_is_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(frame, "SCHEMA", (2, 0))
    with Store.writer(tmp_path) as writer:
        writer.add(episode(3))
    monkeypatch.undo()
    with pytest.raises(StoreError, match=r"format 2\.0, and this agentgym reads format 1\.x; run:"):
        Store.open(tmp_path)


def test_copied_files_read_the_same(three, tmp_path):
    run, _, _ = three
    shutil.copytree(run, tmp_path / "copy")
    assert readable(Store.open(tmp_path / "copy")) == readable(Store.open(run))
