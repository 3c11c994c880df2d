"""What a program says of itself, whoever wrote it."""

import json
import os
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.sandbox import make_sandbox
from agentgym.sandboxes.jail import report, wire
from agentgym.sandboxes.jail.report import Report

VALUE_BYTES = 100


def told(*arguments: Any) -> bytearray:
    """Return what `tell` writes, which is less here than a pipe holds."""
    read, write = os.pipe()
    with os.fdopen(read, "rb") as out:
        report.tell(write, *arguments)
        os.close(write)
        return bytearray(out.read())


def read(data: bytes) -> Report | None:
    return Report.of(bytearray(data), VALUE_BYTES, None)


def framed(header: bytes, rest: bytes = b"") -> bytes:
    return struct.pack("<II", len(header), len(rest)) + header + rest


def test_what_was_told_is_read() -> None:
    data = told({"code": 3, "limit": "disk"}, "grüße", [b"one", b""], VALUE_BYTES)
    assert report.length(data, VALUE_BYTES) == len(data)
    assert report.length(data[:-1], VALUE_BYTES) is None
    header = {"code": 3, "limit": "disk", "value": 7, "cut": 0, "figures": [3, 0]}
    assert read(data) == Report(header, "grüße".encode() + b"one")
    nothing = {"code": 0, "limit": None, "value": None, "cut": 0, "figures": []}
    assert read(told({"code": 0})) == Report(nothing)


def test_a_long_value_is_cut_and_what_was_cut_is_counted() -> None:
    found = read(told({}, "x" * 120, (), VALUE_BYTES))
    assert found is not None
    assert (found.header["cut"], found.body) == (20, b"x" * 100)


def test_a_report_is_of_the_cell_that_was_asked_for() -> None:
    data = told({"cell": "b"})
    assert Report.of(data, VALUE_BYTES, "b") is not None
    assert Report.of(data, VALUE_BYTES, "a") is None
    assert Report.of(data + told({"cell": "b"}), VALUE_BYTES, "b") is None


@given(st.binary(max_size=200))
def test_bytes_that_are_no_report_are_none(data: bytes) -> None:
    assert read(data) is None
    read(framed(data))


@pytest.mark.parametrize(
    "header",
    [b"[" * 60000, b"{}" + b" " * 70000, b"[]", b"1" * 5000, b"\xff", b""],
    ids=["deep", "long", "list", "number", "bytes", "empty"],
)
def test_a_header_that_is_none_is_no_report(header: bytes) -> None:
    assert read(framed(header)) is None


def test_what_is_too_long_is_known_before_it_is_there() -> None:
    most = VALUE_BYTES + report.FIGURES_BYTES
    assert report.length(bytearray(struct.pack("<II", 2, most)), VALUE_BYTES) is None
    assert report.length(bytearray(struct.pack("<II", 2, most + 1)), VALUE_BYTES) == 0
    assert report.length(bytearray(struct.pack("<II", 70000, 0)), VALUE_BYTES) == 0


@pytest.mark.parametrize("sizes", [[-1, 5], [1e999, None, "1"], [10**9], [True, 3], [5, 0, -1]])
def test_sizes_that_are_none_are_no_report(sizes: Any) -> None:
    assert read(framed(json.dumps({"figures": sizes}).encode(), b"rest")) is None


def test_what_has_the_wrong_type_is_left_out() -> None:
    header = {"code": -1, "limit": ["disk"], "cut": "x", "figures": 3, "more": [1] * 1000}
    nothing = {"code": 0, "limit": None, "value": None, "cut": 0, "figures": []}
    assert read(framed(json.dumps(header).encode())) == Report(nothing)


@pytest.mark.integration
def test_a_forged_report_harms_nobody() -> None:
    # A program can write to its status pipe; what it says there is its own word and no more.
    forged = wire.pack({"code": 300, "limit": [], "value": None, "figures": []})
    with make_sandbox() as box:
        result = box.exec(f"import os\nos.write(3, {forged!r})\nprint('end')")
        assert (result.stdout, result.exit_code, result.limit) == ("end\n", 0, None)
