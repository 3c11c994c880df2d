"""Exports: what is in them, and that `datasets`, pandas and PNG readers take them."""

import base64
import json
import struct
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from store_cases import episode

from agentgym.errors import MissingDependencyError, UnknownNameError, UsageError
from agentgym.store import Format, Store, TurnPatch, export
from agentgym.store.images import png
from agentgym.tool import ToolSpec

LOOK = ToolSpec.text("look", "Look at something.", "at", "What to look at.").openai()
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add.",
        "parameters": {"type": "object", "properties": {"terms": {"type": "array"}}},
    },
}


@pytest.fixture
def run(tmp_path):
    """A run of three episodes: different tools and none, text and numbers that JSON can't have."""
    with Store.writer(tmp_path / "run") as writer:
        writer.add(episode(1, instructions="You are in a house.", tools=[LOOK], goal="Find it."))
        wanders = episode(2)
        wanders.turns[1].exploratory = True
        writer.add(wanders)
        odd = episode(3, tools=[ADD], error="it broke \ud800", metrics={"doors": float("nan")})
        odd.turns[0].observation = "half \udc00, pair \ud83d\ude00"
        odd.turns[1].reward = float("inf")
        odd.turns[2].action_error = "no such door"
        writer.add(odd)
        arrays = {"entropy": np.ones(3, np.float32)}
        writer.patch("episode-2", [TurnPatch(0, value=0.25, advantage=-1.0, arrays=arrays)])
    return tmp_path / "run"


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_is_a_chat(run, tmp_path):
    written = export(run, tmp_path / "out" / "chats.jsonl")
    assert (written.format, written.trajectories) == (Format.JSONL, 3)
    first, second, _ = rows(written.path)
    turns = episode(1).turns
    assert first["messages"] == [
        {"role": "system", "content": "You are in a house."},
        *[
            {"role": role, "content": text}
            for turn in turns
            for role, text in (("user", turn.observation), ("assistant", turn.action))
        ],
    ]
    assert first["tools"] == [LOOK]
    assert "tools" not in second
    assert (first["exploratory"], second["exploratory"]) == ([False] * 3, [False, True, False])
    assert second["messages"][0]["role"] == "user"
    assert first["reward"] == pytest.approx(sum(turn.reward for turn in turns))
    assert first["rewards"] == [turn.reward for turn in turns]
    expected = {"id": "episode-1", "seed": 1, "step": 0, "success": True, "goal": "Find it."}
    assert first.items() >= expected.items()


def test_what_json_has_no_word_for_is_null(run, tmp_path):
    row = rows(export(run, tmp_path / "chats.jsonl", where=["id=episode-3"]).path)[0]
    assert row["rewards"][1] is None
    assert row["messages"][0]["content"] == "half \ufffd, pair 😀"
    assert row["error"] == "it broke \ufffd"


def test_conditions_choose(run, tmp_path):
    by_text = export(run, tmp_path / "a.jsonl", where=["success=true", "seed<3"])
    by_function = export(run, tmp_path / "b.jsonl", where=lambda s: s.success and s.seed < 3)
    assert by_text.trajectories == 1
    assert rows(by_text.path) == rows(by_function.path)


def test_nothing_to_export_is_said_and_leaves_no_file(run, tmp_path):
    with pytest.raises(UsageError, match="None of the 3 trajectories"):
        export(run, tmp_path / "a.jsonl", where=["seed=7"])
    assert not (tmp_path / "a.jsonl").exists()


def test_an_unknown_format_is_said(run, tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'jsonl'"):
        export(run, tmp_path / "a.json")
    assert export(run, tmp_path / "a.json", format="jsonl").path.name == "a.json"


def test_a_failed_export_leaves_what_was_there(run, tmp_path, monkeypatch):
    out = tmp_path / "a.jsonl"
    out.write_text("before")
    monkeypatch.setattr("agentgym.store.interchange.chat_row", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(run, out)
    assert out.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "run"]


def test_parquet_without_pyarrow_names_the_extra(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"agentgym-suite\[data\]"):
        export(run, tmp_path / "a.parquet")
    assert not (tmp_path / "a.parquet").exists()


def test_images_lie_beside_the_chats(tmp_path):
    with Store.writer(tmp_path / "run") as writer:
        seen = episode(0, turns=2, image_side=8)
        seen.turns[1].image = None
        writer.add(seen)
        writer.add(episode(1))
    out = export(tmp_path / "run", tmp_path / "chats.jsonl").path
    first, second = rows(out)
    image, text = first["messages"][0]["content"]
    assert text == {"type": "text", "text": seen.turns[0].observation}
    assert image["type"] == "image_url"
    shown = read_png((tmp_path / image["image_url"]["url"]).read_bytes())
    assert np.array_equal(shown, seen.turns[0].image)
    # A column has one type: where one content is a list of parts, all are.
    assert all(isinstance(m["content"], list) for m in first["messages"] + second["messages"])


@given(image=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2).map(lambda s: (*s, 3))))
@settings(max_examples=30, deadline=None)
def test_png(image):
    assert np.array_equal(read_png(png(image)), image)


def read_png(data):
    """Read a PNG of 8-bit RGB whose rows are differences from the row above."""
    assert data[:8] == base64.b64decode("iVBORw0KGgo=")
    position, chunks = 8, {}
    while position < len(data):
        (size,) = struct.unpack_from(">I", data, position)
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + size]
        (crc,) = struct.unpack_from(">I", data, position + 8 + size)
        assert crc == zlib.crc32(kind + body)
        chunks[kind] = body
        position += 12 + size
    width, height, *form = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert form == [8, 2, 0, 0, 0]
    filtered = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert (filtered[:, 0] == 2).all()
    return np.cumsum(filtered[:, 1:], axis=0, dtype=np.uint8).reshape(height, width, 3)


@pytest.mark.integration
def test_datasets_reads_the_chats(run, tmp_path):
    import datasets

    out = export(run, tmp_path / "chats.jsonl").path
    table = datasets.load_dataset(
        "json", data_files=str(out), split="train", cache_dir=tmp_path / "cache"
    )
    assert table["id"] == ["episode-1", "episode-2", "episode-3"]
    assert table[0]["messages"] == rows(out)[0]["messages"]
    assert table[0]["tools"][0]["function"]["name"] == "look"
    assert table[1]["tools"] is None
    assert table["success"] == [True, False, True]


@pytest.mark.integration
def test_datasets_and_pandas_read_parquet(run, tmp_path):
    import datasets
    import pandas

    with Store.writer(run) as writer:
        writer.add(episode(4, turns=1, image_side=4))
    written = export(run, tmp_path / "table.parquet")
    assert (written.format, written.trajectories) == (Format.PARQUET, 4)
    table = datasets.load_dataset(
        "parquet", data_files=str(written.path), split="train", cache_dir=tmp_path / "cache"
    )
    for row, seed in zip(table, (1, 2, 3, 4), strict=True):
        expected = episode(seed) if seed < 4 else episode(4, turns=1, image_side=4)
        assert row["id"] == f"episode-{seed}"
        for name in ("prompt_ids", "completion_ids", "logprobs"):
            assert row[name] == [getattr(turn, name).tolist() for turn in expected.turns]
    assert table[0]["messages"][1]["content"] == episode(1).turns[0].observation
    assert json.loads(table[0]["tools"]) == [LOOK]
    assert table[1]["values"] == [0.25, None, None]
    assert table[1]["exploratory"] == [False, True, False]
    assert table[1]["advantages"] == [-1.0, None, None]
    assert table[1]["arrays"] == [{"name": "entropy", "turn": 0, "values": [1.0, 1.0, 1.0]}]
    assert table[2]["action_errors"] == [None, None, "no such door"]
    image = episode(4, turns=1, image_side=4).turns[0].image
    assert np.array_equal(read_png(table[3]["images"][0]["bytes"]), image)
    frame = pandas.read_parquet(written.path)
    assert list(frame["success"]) == [True, False, True, False]
    assert frame["rewards"][2][1] == np.inf


@pytest.mark.integration
def test_the_parquet_schema_stays():
    from agentgym.store.parquet import parquet_schema

    columns = {field.name: str(field.type) for field in parquet_schema()}
    nested = "list<element: list<element: int32>>"
    assert columns["completion_ids"] in (nested, nested.replace("element", "item"))
    assert list(columns) == [
        *("id", "env_id", "task_id", "group_id", "seed", "step", "goal", "success", "reward"),
        *("stop_reason", "error", "attempts", "started", "seconds", "messages", "tools"),
        *("final_observation", "rewards", "values", "advantages", "action_errors"),
        *("policy_versions", "exploratory", "starts_sequence", "prompt_ids", "completion_ids"),
        *("logprobs", "arrays", "images", "meta"),
    ]
