"""What a program says of itself, whoever wrote it."""

import base64
import json
import os
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.sandbox import make_sandbox
from agentgym.sandboxes.jail import report


def told(*arguments: Any) -> bytearray:
    """Return what `tell` writes, which is less here than a pipe holds."""
    read, write = os.pipe()
    with os.fdopen(read, "rb") as out:
        report.tell(write, *arguments)
        os.close(write)
        return bytearray(out.read())


def framed(header: bytes, rest: bytes = b"") -> bytearray:
    body = struct.pack("<I", len(header)) + header + rest
    return bytearray(struct.pack("<I", len(body)) + body)


def test_what_was_told_is_read() -> None:
    data = told({"code": 3, "limit": None}, "grüße", [b"one", b""])
    assert report.complete(data)
    assert not report.complete(data[:-1])
    figures = [base64.b64encode(figure).decode() for figure in (b"one", b"")]
    assert report.read(data) == {"code": 3, "limit": None, "value": "grüße", "figures": figures}
    assert report.read(told({"code": 0})) == {"code": 0, "figures": []}


@given(st.binary(max_size=200))
def test_bytes_that_are_no_report_are_none(data: bytes) -> None:
    assert set(report.read(bytearray(data))) <= {"figures"}
    report.read(framed(data))


@pytest.mark.parametrize(
    "header",
    [b"[" * 60000, b"{}" + b" " * 70000, b"[]", b"1" * 5000, b"\xff", b""],
    ids=["deep", "long", "list", "number", "bytes", "empty"],
)
def test_a_header_that_is_none_is_left(header: bytes) -> None:
    assert report.read(framed(header)) == {}


@pytest.mark.parametrize("sizes", [[-1], [1e999, None, "1"], [10**9], 3, {"a": 1}])
def test_sizes_that_are_none_give_nothing_that_was_not_there(sizes: Any) -> None:
    read = report.read(framed(json.dumps({"value": -5, "figures": sizes}).encode(), b"rest"))
    assert "value" not in read
    assert b"".join(map(base64.b64decode, read["figures"])) in (b"", b"rest")


@pytest.mark.integration
def test_a_forged_report_harms_nobody() -> None:
    # A program can write to its status pipe; what it says there is its own word and no more.
    header = json.dumps({"code": "x", "limit": [], "value": None, "figures": []}).encode()
    source = f"import os\nos.write(3, {bytes(framed(header))!r})\nprint('end')"
    with make_sandbox() as box:
        result = box.exec(source)
        assert (result.stdout, result.exit_code, result.limit) == ("end\n", 0, None)
