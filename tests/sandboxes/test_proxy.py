"""The proxy by itself: what it lets pass, what it refuses, and that nothing wears it out."""

import gc
import http.client
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websites import Website, server, website

from agentgym.errors import InfraError
from agentgym.sandboxes import proxy as proxy_module
from agentgym.sandboxes import proxy_request
from agentgym.sandboxes import relay as relay_module
from agentgym.sandboxes.proxy import CONNECTIONS, Proxy

Dial = Callable[..., socket.socket]


@pytest.fixture(scope="module")
def site() -> Iterator[Website]:
    with website() as found:
        yield found


@pytest.fixture
def open_proxy() -> Iterator[Callable[..., Dial]]:
    """Make proxies as a box has one; each is a function that connects to it."""
    with ExitStack() as closing:

        def open_proxy(*network: str) -> Dial:
            listener = socket.create_server(("127.0.0.1", 0))
            where = listener.getsockname()
            proxy = Proxy(listener, network)
            closing.callback(proxy.close)

            def dial(data: bytes = b"") -> socket.socket:
                connection = socket.create_connection(where, 10)
                closing.callback(connection.close)
                connection.sendall(data)
                return connection

            return dial

        yield open_proxy


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names resolve to, in the place of this machine's resolver; no other name does."""
    known: dict[str, list[str]] = {}

    def resolve(host: str, port: int) -> list[str]:
        if host not in known:
            raise OSError(-2, "Name or service not known")
        return known[host]

    monkeypatch.setattr(proxy_module, "resolve", resolve)
    return known


def read_all(connection: socket.socket) -> bytes:
    data = b""
    while part := connection.recv(1 << 16):
        data += part
    return data


def get(url: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {url} HTTP/1.1", *headers, "", ""]).encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


# What passes.


def test_a_page(open_proxy: Callable[..., Dial], site: Website) -> None:
    dial = open_proxy(f"127.0.0.1:{site.port}")
    answer = read_all(dial(get(f"http://127.0.0.1:{site.port}/a?b", "Host: elsewhere.org")))
    assert status(answer) == 200
    assert answer.endswith(b"page /a?b")
    assert site.asked[-1] == ("GET", "/a?b", f"127.0.0.1:{site.port}")


def test_a_large_body(open_proxy: Callable[..., Dial], site: Website) -> None:
    dial = open_proxy(f"127.0.0.1:{site.port}")
    size = 3 << 20
    head = f"POST http://127.0.0.1:{site.port}/ HTTP/1.1\r\nContent-Length: {size}\r\n\r\n"
    assert read_all(dial(head.encode() + bytes(size))).endswith(b"%d bytes" % size)


def test_a_tunnel_takes_many_requests(open_proxy: Callable[..., Dial], site: Website) -> None:
    through = open_proxy(f"localhost:{site.port}")().getpeername()
    connection = http.client.HTTPConnection(*through, timeout=10)
    connection.set_tunnel("localhost", site.port)
    for path in ("/1", "/2", "/3"):
        connection.request("GET", path)
        assert connection.getresponse().read() == f"page {path}".encode()
    connection.close()


def test_a_tunnel_is_open_both_ways_and_ends_both_ways(open_proxy: Callable[..., Dial]) -> None:
    size = 8 << 20  # more than all buffers on the way hold

    def serve(connection: socket.socket) -> None:
        # It writes all before it reads any, as whoever opens the tunnel does.
        writing = threading.Thread(target=connection.sendall, args=(b"s" * size,), daemon=True)
        writing.start()
        time.sleep(0.2)
        received = len(read_all(connection))
        writing.join(10)
        connection.sendall(b"got %d" % received)

    with server(serve) as port:
        connection = open_proxy(f"127.0.0.1:{port}")(
            b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % port
        )
        assert connection.recv(39) == b"HTTP/1.1 200 Connection established\r\n\r\n"
        writing = threading.Thread(target=_write_and_end, args=(connection, size), daemon=True)
        writing.start()
        assert read_all(connection) == b"s" * size + b"got %d" % size
        writing.join(10)


def _write_and_end(connection: socket.socket, size: int) -> None:
    connection.sendall(b"c" * size)
    connection.shutdown(socket.SHUT_WR)


def test_an_answer_that_comes_before_the_body_is_read(open_proxy: Callable[..., Dial]) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(1 << 10)
        connection.sendall(b"HTTP/1.1 413 Too large\r\n\r\nno")

    with server(serve) as port:
        connection = open_proxy(f"127.0.0.1:{port}")()
        connection.sendall(
            f"POST http://127.0.0.1:{port}/ HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n".encode()
        )
        assert read_all(connection).endswith(b"413 Too large\r\n\r\nno")


# Where to.


def test_what_is_not_listed_is_refused_and_the_list_is_said(
    open_proxy: Callable[..., Dial], site: Website
) -> None:
    dial = open_proxy("*.example.org", "127.0.0.1:1")
    for request in (
        get("http://other.org/"),
        get("http://example.org/"),
        get(f"http://127.0.0.1:{site.port}/"),
        b"CONNECT other.org:443 HTTP/1.1\r\n\r\n",
        b"CONNECT www.example.org:22 HTTP/1.1\r\n\r\n",
        b"CONNECT localhost:1 HTTP/1.1\r\n\r\n",
        b"CONNECT [::ffff:127.0.0.1]:1 HTTP/1.1\r\n\r\n",
    ):
        answer = read_all(dial(request))
        assert status(answer) == 403, request
        # In the first line, which is all that some programs show, and in the body.
        assert answer.count(b"is not on the list") == answer.count(b"*.example.org, 127") == 2


def test_a_refusal_is_heard_by_who_is_still_sending(open_proxy: Callable[..., Dial]) -> None:
    head = b"POST http://other.org/ HTTP/1.1\r\nContent-Length: 500000\r\n\r\n"
    assert status(read_all(open_proxy("example.org")(head + bytes(500000)))) == 403


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "169.254.169.254",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "fe80::1%lo",
    ],
)
def test_a_name_opens_nothing_near(
    address: str, open_proxy: Callable[..., Dial], names: dict[str, list[str]]
) -> None:
    names["near.example.org"] = [address]
    answer = read_all(open_proxy("*.example.org")(get("http://near.example.org/")))
    assert status(answer) == 403
    assert b"not public" in answer
    assert address.encode() not in answer


def test_a_name_may_stand_for_a_near_address_that_is_listed(
    open_proxy: Callable[..., Dial], names: dict[str, list[str]], site: Website
) -> None:
    names["mirror.example.org"] = ["10.0.0.1", "127.0.0.1"]
    here = f"127.0.0.1:{site.port}"
    dial = open_proxy(f"mirror.example.org:{site.port}", here)
    answer = read_all(dial(get(f"http://mirror.example.org:{site.port}/")))
    assert answer.endswith(b"page /")
    assert site.asked[-1][2] == f"mirror.example.org:{site.port}"


def test_it_is_the_judged_address_that_is_connected_to(
    open_proxy: Callable[..., Dial], site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A name that resolves to what is listed when it is judged, and to something else ever after.
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    monkeypatch.setattr(proxy_module, "resolve", resolve)
    dial = open_proxy(f"turns.example.org:{site.port}", f"127.0.0.1:{site.port}")
    url = f"http://turns.example.org:{site.port}/"
    assert [status(read_all(dial(get(url)))) for _ in range(2)] == [200, 403]
    assert len(asked) == 2


def test_what_can_t_be_reached_is_said(
    open_proxy: Callable[..., Dial], names: dict[str, list[str]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    dial = open_proxy("gone.example.org", f"127.0.0.1:{port}")
    answer = read_all(dial(get("http://gone.example.org/")))
    assert status(answer) == 502
    assert b"can't be resolved: Name or service not known" in answer
    answer = read_all(dial(get(f"http://127.0.0.1:{port}/")))
    assert status(answer) == 502
    assert b"can't be reached: Connection refused" in answer


def test_this_machine_s_resolver_is_asked() -> None:
    assert "127.0.0.1" in proxy_module.resolve("localhost", 80)
    with pytest.raises(OSError, match=r"."):
        proxy_module.resolve("no-such-name.invalid", 80)


# One request for each connection.


@pytest.mark.parametrize("together", [True, False])
def test_a_second_request_reaches_nobody(together: bool, open_proxy: Callable[..., Dial]) -> None:
    received = bytearray()

    def serve(connection: socket.socket) -> None:
        # It keeps the connection open, though it was asked not to.
        while part := connection.recv(1 << 16):
            received.extend(part)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    second = b"GET /second HTTP/1.1\r\nHost: other.org\r\n\r\n"
    with server(serve) as port:
        first = get(f"http://127.0.0.1:{port}/first")
        connection = open_proxy(f"127.0.0.1:{port}")(first + (second if together else b""))
        if not together:
            assert connection.recv(1).startswith(b"H")
            connection.sendall(second)
        with suppress(ConnectionError):
            read_all(connection)
    assert b"second" not in received
    assert (b"Connection: close" in received) == (not together)


def test_a_body_may_not_hold_another_request(
    open_proxy: Callable[..., Dial], site: Website
) -> None:
    dial = open_proxy(f"127.0.0.1:{site.port}")
    smuggled = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: other.org\r\n\r\n"
    head = f"POST http://127.0.0.1:{site.port}/ HTTP/1.1\r\n".encode()
    for headers in (
        b"Transfer-Encoding: chunked",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Content-Length: 5\r\nContent-Length: 50",
        b"Content-Length: 5\r\nConnection: Content-Length",
    ):
        assert status(read_all(dial(head + headers + b"\r\n\r\n" + smuggled))) >= 400
    assert all(path != "/smuggled" for _, path, _ in site.asked)


# What would wear it out.


def test_headers_without_an_end(open_proxy: Callable[..., Dial]) -> None:
    connection = open_proxy("example.org")()
    with suppress(ConnectionError):  # it was hung up on before it had sent all
        connection.sendall(
            b"GET http://example.org/ HTTP/1.1\r\n" + b"A: b\r\n" * proxy_request.HEAD_BYTES
        )
        assert status(read_all(connection)) == 431


def test_headers_that_come_slowly(
    open_proxy: Callable[..., Dial], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_request, "HEAD_SECONDS", 0.5)
    connection = open_proxy("example.org")()
    began = time.monotonic()
    for _ in range(4):
        connection.sendall(b"A")
        time.sleep(0.2)
    assert status(read_all(connection)) == 408
    assert time.monotonic() < began + 5


def test_silence_ends_a_connection(
    open_proxy: Callable[..., Dial], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "IDLE_SECONDS", 0.3)
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        read_all(connection)
        ended.set()

    with server(serve) as port:
        connection = open_proxy(f"127.0.0.1:{port}")(
            b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % port
        )
        assert read_all(connection).startswith(b"HTTP/1.1 200")
        assert ended.wait(10)


def test_a_connection_ends_however_much_passes(
    open_proxy: Callable[..., Dial], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "TOTAL_SECONDS", 0.3)

    def serve(connection: socket.socket) -> None:
        while True:
            connection.sendall(bytes(1 << 20))

    with server(serve) as port:
        connection = open_proxy(f"127.0.0.1:{port}")(
            b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % port
        )
        began = time.monotonic()
        with suppress(ConnectionError):
            while connection.recv(1 << 20) and time.monotonic() < began + 10:
                pass
        assert time.monotonic() < began + 5


def test_more_connections_wait(open_proxy: Callable[..., Dial], site: Website) -> None:
    dial = open_proxy(f"127.0.0.1:{site.port}")
    tunnel = b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % site.port
    held = [dial(tunnel) for _ in range(CONNECTIONS)]
    for connection in held:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    waiting = dial(get(f"http://127.0.0.1:{site.port}/waited"))
    waiting.settimeout(0.3)
    with pytest.raises(TimeoutError):
        waiting.recv(1)
    held[0].close()
    waiting.settimeout(10)
    assert read_all(waiting).endswith(b"page /waited")


def test_without_a_thread_it_goes_on_later(
    open_proxy: Callable[..., Dial], site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    dial = open_proxy(f"127.0.0.1:{site.port}")
    refused: list[int] = []
    start = threading.Thread.start

    def no_thread(thread: threading.Thread) -> None:
        if thread.name == "agentgym-proxy" and not refused:
            refused.append(1)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    url = f"http://127.0.0.1:{site.port}/"
    with suppress(ConnectionError):
        assert read_all(dial(get(url))) == b""
    assert read_all(dial(get(url))).endswith(b"page /")
    assert refused


def test_a_machine_without_threads_is_no_fault_of_the_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(InfraError, match="can't start new thread"):
            Proxy(listener, ())
        assert listener.fileno() == -1


@pytest.fixture(scope="module")
def fuzzed(site: Website) -> Iterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0))
    where = listener.getsockname()
    proxy = Proxy(listener, (f"127.0.0.1:{site.port}",))
    yield where
    proxy.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=300),
    before=st.sampled_from([b"", b"GET http://", b"CONNECT 127.0.0.1:", b"POST http://127.0.0.1:"]),
    after=st.sampled_from([b"", b"\r\n\r\n", b" HTTP/1.1\r\n\r\n", b"/ HTTP/1.1\r\n\r\n"]),
    hard=st.booleans(),
)
def test_whatever_is_sent_it_serves_on(
    data: bytes, before: bytes, after: bytes, hard: bool, fuzzed: tuple[str, int], site: Website
) -> None:
    with socket.create_connection(fuzzed, 10) as connection:
        connection.sendall(before + data + after)
        if not hard:  # or it is left at once
            connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                read_all(connection)
    with socket.create_connection(fuzzed, 10) as connection:
        connection.sendall(get(f"http://127.0.0.1:{site.port}/"))
        assert read_all(connection).endswith(b"page /")


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_closing_ends_everything(site: Website) -> None:
    before = _left()
    listener = socket.create_server(("127.0.0.1", 0))
    where = listener.getsockname()
    proxy = Proxy(listener, (f"127.0.0.1:{site.port}",))
    with ExitStack() as closing:
        more = CONNECTIONS + 3
        held = [closing.enter_context(socket.create_connection(where, 10)) for _ in range(more)]
        for connection in held[:3]:
            connection.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % site.port)
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        proxy.close()
        proxy.close()
        for connection in held:
            with suppress(ConnectionError):
                assert connection.recv(1) == b""
    with pytest.raises(ConnectionError):
        socket.create_connection(where, 10)
    deadline = time.monotonic() + 10
    while _left() > before and time.monotonic() < deadline:
        time.sleep(0.05)
        gc.collect()
    assert _left() <= before


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_proxies_that_are_closed_at_once() -> None:
    before = _left()
    for _ in range(20):
        Proxy(socket.create_server(("127.0.0.1", 0)), ("example.org",)).close()
    deadline = time.monotonic() + 10
    while _left() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _left() <= before


def _left() -> int:
    """Return how many threads of proxies and how many descriptors there are."""
    threads = sum(thread.name == "agentgym-proxy" for thread in threading.enumerate())
    return threads + len(os.listdir("/proc/self/fd"))
