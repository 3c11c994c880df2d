"""A trajectory comes back from the store exactly, whatever is in it."""

import tempfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from store_cases import episode, same, trajectories

from agentgym.errors import StoreError
from agentgym.stop_reason import StopReason
from agentgym.store import Store, Summary
from agentgym.store.codec import Body, decode_body, encode_body
from agentgym.store.frame import from_json, to_json
from agentgym.trajectory import Trajectory, Turn


@given(trajectory=trajectories)
@settings(max_examples=30, deadline=None)
def test_round_trip_is_exact(trajectory):
    with tempfile.TemporaryDirectory() as folder:
        with Store.writer(folder, level=1) as writer:
            summary = writer.add(trajectory)
        store = Store.open(folder)
        assert same(store[trajectory.id], trajectory)
        assert same(store.summary(trajectory.id), summary)
        assert same(replace(summary, written=0.0), Summary.of(trajectory))


def test_arrays_that_come_back_may_be_written_to(tmp_path):
    with Store.writer(tmp_path) as writer:
        writer.add(episode(1, image_side=4))
    turn = Store.open(tmp_path)["episode-1"].turns[0]
    turn.logprobs[0] = 0.0
    turn.image[0, 0, 0] = 9
    assert turn.logprobs[0] == 0.0
    assert turn.image[0, 0, 0] == 9


def test_logprobs_keep_single_precision(tmp_path):
    drift = np.float32(1e-6)
    turn = Turn("look", "go", completion_ids=np.arange(2, dtype=np.int32))
    turn.logprobs = np.array([-1.0, -1.0 + drift], np.float32)
    with Store.writer(tmp_path) as writer:
        writer.add(Trajectory("e", "t", StopReason.FAILURE, [turn], id="a"))
    kept = Store.open(tmp_path)["a"].turns[0].logprobs
    assert kept.dtype == np.float32
    assert kept[1] - kept[0] == pytest.approx(1e-6, rel=0.1)


def test_numpy_scalars_become_numbers(tmp_path):
    given = episode(2, success=np.bool_(True), meta={"x": np.float32(0.5)})
    given.seed = np.int64(5)
    with Store.writer(tmp_path) as writer:
        writer.add(given)
    kept = Store.open(tmp_path)["episode-2"]
    assert kept.success is True
    assert (type(kept.seed), kept.seed) == (int, 5)
    assert kept.meta == {"x": 0.5}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"meta": {"a": object()}}, "Only JSON values can be stored"),
        ({"arrays": {"x": np.array(["a"])}}, "must be an array of numbers"),
        ({"arrays": {"x": np.float32(1)}}, "one entry per token"),
    ],
)
def test_what_cannot_be_stored_is_said_and_leaves_no_trace(tmp_path, given, message):
    trajectory = episode(1, meta=given.get("meta", {}))
    trajectory.turns[1].arrays = given.get("arrays", {})
    with Store.writer(tmp_path) as writer:
        with pytest.raises(StoreError, match=message):
            writer.add(trajectory)
        writer.add(episode(2))
    store = Store.open(tmp_path)
    assert [summary.id for summary in store.summaries()] == ["episode-2"]
    assert store.damage == []


def test_columns_that_this_version_does_not_know_are_kept():
    values = [np.ones(2, np.float32), None, np.zeros(0, np.int64)]
    body = decode_body(encode_body(Body({"a": 1}, {"new": values}), level=1))
    assert body.document == {"a": 1}
    assert all(same(kept, given) for kept, given in zip(body.columns["new"], values, strict=True))


def test_json_beyond_the_standard():
    value = {"nan": [float("inf")], "big": 2**200, "half": "\ud800", "pair": "\ud83d\ude00"}
    assert from_json(to_json(value)) == value
