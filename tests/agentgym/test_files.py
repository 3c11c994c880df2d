"""Whole files or none, and JSON that every reader takes."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.errors import DataError
from agentgym.files import plain_text, replacing, strict_json, write_atomically


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_atomically(path, "eins ✓")
    write_atomically(path, b"zwei")
    assert path.read_bytes() == b"zwei"
    assert os.listdir(path.parent) == ["a.txt"]


def test_what_fails_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_atomically(path, "before")

    def fail_half_way():
        with replacing(path) as draft:
            draft.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_half_way()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_place_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/a\.txt can't be written"):
        write_atomically(tmp_path / "file" / "a.txt", "")


@given(st.recursive(st.floats() | st.text(st.characters()) | st.none(), st.lists))
@settings(max_examples=30, deadline=None)
def test_strict_json_is_json_for_everybody(value):
    def refuse(constant):
        raise AssertionError(constant)

    text = strict_json({"value": value, "tuple": (value,)})
    text.encode()
    assert "\n" not in text
    json.loads(text, parse_constant=refuse)


@given(st.text())
def test_text_without_lone_surrogates_stays(text):
    assert plain_text(text) == text


def test_surrogates():
    assert plain_text("a\ud800b") == "a\ufffdb"
    assert plain_text("\ud83d\ude00") == "😀"
