"""How a proxy reads a request: strictly, since what it takes for one a server takes for another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.sandboxes.proxy_request import ProxyRequest, RefusedError


def parse(*lines: str) -> ProxyRequest:
    return ProxyRequest.parse("\r\n".join(lines).encode("latin-1"))


def test_a_tunnel() -> None:
    assert parse("CONNECT Example.org:443 HTTP/1.1", "Host: x") == ProxyRequest(
        "example.org", 443, b"", None
    )
    assert parse("CONNECT [0:0::1]:443 HTTP/1.0").host == "::1"


def test_a_request_is_sent_on_to_the_host_that_was_judged() -> None:
    request = parse(
        "POST HTTP://Example.org:8080/a?b=c#d HTTP/1.1",
        "Host: elsewhere.org",
        "Accept: */*",
        "Content-Length: 3",
        "Connection: keep-alive, X-Own,content-length",
        "X-Own: 1",
        "Proxy-Authorization: Basic x",
        "Upgrade: h2c",
    )
    assert (request.host, request.port, request.body_bytes) == ("example.org", 8080, 3)
    assert request.head == (
        b"POST /a?b=c HTTP/1.1\r\nHost: example.org:8080\r\naccept: */*\r\nContent-Length: 3\r\n"
        b"Connection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("url", "sent", "host"),
    [
        ("http://a.org", b"GET / HTTP/1.1", b"Host: a.org"),
        ("http://a.org?x", b"GET /?x HTTP/1.1", b"Host: a.org"),
        ("http://a.org:80/%20", b"GET /%20 HTTP/1.1", b"Host: a.org"),
        ("http://a.org/http://b.org", b"GET /http://b.org HTTP/1.1", b"Host: a.org"),
        ("http://[::1]:8080/", b"GET / HTTP/1.1", b"Host: [::1]:8080"),
    ],
)
def test_what_a_url_becomes(url: str, sent: bytes, host: bytes) -> None:
    request = parse(f"GET {url} HTTP/1.1")
    assert request.head.split(b"\r\n")[:2] == [sent, host]
    assert request.body_bytes == 0


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([""], 400),
        (["GET"], 400),
        (["GET http://a.org/"], 400),
        (["GET http://a.org/ HTTP/2.0"], 400),
        (["GET  http://a.org/ HTTP/1.1"], 400),
        (["GET http://a.org/ b HTTP/1.1"], 400),
        (["GET /path HTTP/1.1", "Host: a.org"], 400),
        (["GET https://a.org/ HTTP/1.1"], 400),
        (["GET http:///path HTTP/1.1"], 400),
        (["GET http://user:password@a.org/ HTTP/1.1"], 400),
        (["GET http://a.org@b.org/ HTTP/1.1"], 400),
        (["GET http://a.org\\b.org/ HTTP/1.1"], 400),
        (["GET http://a.org%2f/ HTTP/1.1"], 400),
        (["GET http://127.1/ HTTP/1.1"], 400),
        (["GET http://a.org:/ HTTP/1.1"], 400),
        (["GET http://a.org:+80/ HTTP/1.1"], 400),
        (["CONNECT a.org HTTP/1.1"], 400),
        (["CONNECT http://a.org:443 HTTP/1.1"], 400),
        (["CONNECT ::1:443 HTTP/1.1"], 400),
        (["GET http://a.org/ HTTP/1.1", " folded"], 400),
        (["GET http://a.org/ HTTP/1.1", "A: b\nHost: c"], 400),
        (["GET http://a.org/ HTTP/1.1", "A: b\rHost: c"], 400),
        (["GET http://a.org/ HTTP/1.1", "A: b\0"], 400),
        (["GET http://a.org/ HTTP/1.1", "A : b"], 400),
        (["GET http://a.org/ HTTP/1.1", "A"], 400),
        (["POST http://a.org/ HTTP/1.1", "Content-Length: 1", "content-length: 2"], 400),
        (["POST http://a.org/ HTTP/1.1", "Content-Length: 1", "Content-Length: 1"], 400),
        (["POST http://a.org/ HTTP/1.1", "Content-Length: 1, 1"], 400),
        (["POST http://a.org/ HTTP/1.1", "Content-Length: -1"], 400),
        (["POST http://a.org/ HTTP/1.1", "Content-Length: +1"], 400),
        (["POST http://a.org/ HTTP/1.1", "Content-Length: 0x1"], 400),
        (["POST http://a.org/ HTTP/1.1", "Content-Length:"], 400),
        (["POST http://a.org/ HTTP/1.1", "Content-Length: " + "9" * 30], 400),
        (["POST http://a.org/ HTTP/1.1", "Transfer-Encoding: chunked"], 411),
        (["POST http://a.org/ HTTP/1.1", "transfer-encoding: x", "Content-Length: 1"], 411),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(lines: list[str], status: int) -> None:
    with pytest.raises(RefusedError) as refusal:
        parse(*lines)
    assert refusal.value.status == status
    assert "\n" not in refusal.value.reason


PIECES = st.sampled_from(
    "GET |CONNECT |http://|a.org|:|80|/| | HTTP/1.1|\r\n|\n|\r|\0|Host: b|Content-Length: |"
    "Connection: |1|,|[|]|::1|@|#|?|%|\xff|\t|*.".encode("latin-1").split(b"|")
)


@given(st.binary(max_size=200) | st.lists(PIECES, max_size=20).map(b"".join))
def test_anything_is_a_request_or_refused(head: bytes) -> None:
    _judge(head)


@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_anything_may_follow_a_line_that_is_right(rest: bytes) -> None:
    _judge(b"GET http://a.org/ HTTP/1.1\r\n" + rest)
    _judge(b"POST http://a.org" + rest + b" HTTP/1.1\r\nContent-Length: 1")


def _judge(head: bytes) -> None:
    try:
        request = ProxyRequest.parse(head)
    except RefusedError:
        return
    if request.body_bytes is None:
        assert request.head == b""
        return
    # A server finds one request, for the host that was judged.
    lines = request.head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert request.head.count(b"\r\n\r\n") == 1
    assert request.head.count(b"\n") == request.head.count(b"\r") == len(lines) + 1
    names = [line.split(b":")[0].lower() for line in lines[1:]]
    assert names.count(b"host") == names.count(b"connection") == 1
    assert names.count(b"content-length") == bool(request.body_bytes) or request.body_bytes == 0
    host = f"[{request.host}]" if ":" in request.host else request.host
    assert lines[1].lower() in {f"host: {host}".encode(), f"host: {host}:{request.port}".encode()}


def test_long_headers_take_no_time() -> None:
    for value in (" " * 32000 + "\1", "a" * 32000 + "\1", ", " * 16000):
        with pytest.raises(RefusedError):
            parse("GET http://a.org/ HTTP/1.1", f"Connection: {value}", "B")
