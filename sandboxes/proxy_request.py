"""`ProxyRequest`: what a program asks a proxy for, of HTTP/1.1, read strictly.

There are two kinds: `CONNECT host:port`, after which bytes pass both ways, and a request for
`http://host/path`, which is sent on with no more than one body. Whatever two readers could take for
different things is refused: a length that is said twice, a body in chunks, a line that goes on in
the next one.
"""

import re
import socket
import time
from dataclasses import dataclass
from typing import Self

from agentgym.destinations import normal_host

HEAD_BYTES = 1 << 15
"""The longest request line and headers."""

HEAD_SECONDS = 10.0
"""How long they may take."""

ANSWER_SECONDS = 2.0
"""How long an answer of the proxy's own may take."""

_DRAINED_BYTES = 1 << 20
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_LINE = re.compile(rb"(" + _TOKEN + rb") ([!-~\x80-\xff]+) (HTTP/1\.[01])")
_HEADER = re.compile(rb"(" + _TOKEN + rb"):([\t -~\x80-\xff]*)")
_URL = re.compile(rb"[Hh][Tt][Tt][Pp]://([^/?#]*)([^#]*)(#.*)?")
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?", re.ASCII)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_HTTP_PORT = 80
# What is between two neighbours (RFC 9110, 7.6.1), and what is said anew.
_OURS = {
    *(b"connection", b"proxy-connection", b"keep-alive", b"te", b"trailer", b"upgrade"),
    *(b"proxy-authorization", b"proxy-authenticate", b"host", b"content-length"),
}


class RefusedError(Exception):
    """A request is not served.

    Args:
        status: Of HTTP.
        reason: Why, in one line for whoever reads the program's error.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True, slots=True)
class ProxyRequest:
    """A request to a proxy.

    Attributes:
        host: As `normal_host` returns it.
        port: Of TCP.
        head: What is sent on in the place of the request's; nothing of a tunnel.
        body_bytes: How long the body is that follows; None of a tunnel, which has no end.
    """

    host: str
    port: int
    head: bytes
    body_bytes: int | None

    @classmethod
    def parse(cls, head: bytes) -> Self:
        """Return the request that begins so.

        Args:
            head: The request line and the headers, without the empty line.

        Raises:
            RefusedError: If it is not what a proxy serves.
        """
        first, *lines = head.split(b"\r\n")
        line = _LINE.fullmatch(first)
        if line is None:
            raise RefusedError(400, "this is a proxy of HTTP/1.1, and that is no request of it")
        method, target, version = line.groups()
        headers = [_header(line) for line in lines]
        if method == b"CONNECT":
            return cls(*_authority(target, None), head=b"", body_bytes=None)
        url = _URL.fullmatch(target)
        if url is None:
            raise RefusedError(400, "this is a proxy: ask for http://host/path, or CONNECT for TLS")
        host, port = _authority(url[1], _HTTP_PORT)
        body_bytes = _body_bytes(headers)
        between = [value.lower().split(b",") for name, value in headers if name == b"connection"]
        dropped = _OURS.union(word.strip() for words in between for word in words)
        path = url[2] if url[2].startswith(b"/") else b"/" + url[2]
        shown = authority(host, port).removesuffix(f":{_HTTP_PORT}")
        # The host that was judged, whatever the program's own header says.
        sent = [b"%s %s %s" % (method, path, version), b"Host: " + shown.encode()]
        sent += [b"%s: %s" % (name, value) for name, value in headers if name not in dropped]
        if body_bytes is not None:
            sent.append(b"Content-Length: %d" % body_bytes)
        sent.append(b"Connection: close")
        return cls(host, port, b"\r\n".join(sent) + b"\r\n\r\n", body_bytes or 0)


def _header(line: bytes) -> tuple[bytes, bytes]:
    found = _HEADER.fullmatch(line)
    if found is None:
        raise RefusedError(400, "a header is malformed")
    return found[1].lower(), found[2].strip(b" \t")


def _authority(text: bytes, port: int | None) -> tuple[str, int]:
    """Return a host and a port.

    Args:
        text: As they stand in a request.
        port: Where it has none; None if it has to have one.
    """
    found = _AUTHORITY.fullmatch(text.decode("latin-1"))
    host = None if found is None else normal_host(found[1])
    if found is None or host is None or (found[2] is None and port is None):
        raise RefusedError(400, "the request names no host, or none in a form that is served")
    given = port if found[2] is None else int(found[2])
    assert given is not None
    return host, given


def authority(host: str, port: int) -> str:
    """Return a host and a port as they stand in a request."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _body_bytes(headers: list[tuple[bytes, bytes]]) -> int | None:
    lengths = [value for name, value in headers if name == b"content-length"]
    if any(name == b"transfer-encoding" for name, _ in headers):
        raise RefusedError(411, "send the body with a Content-Length, and not in chunks")
    if not lengths:
        return None
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise RefusedError(400, "a body has one Content-Length")
    return int(lengths[0])


def read_head(box: socket.socket) -> tuple[bytes, bytes]:
    """Return the head of a request, and what came with it of its body.

    Raises:
        RefusedError: If it is too long, or takes too long.
        OSError: If whoever sends it leaves.
    """
    data, deadline = b"", time.monotonic() + HEAD_SECONDS
    while b"\r\n\r\n" not in data:
        if len(data) > HEAD_BYTES:
            raise RefusedError(431, f"the request's headers are longer than {HEAD_BYTES} bytes")
        box.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            part = box.recv(HEAD_BYTES)
        except TimeoutError:
            raise RefusedError(408, f"no request came within {HEAD_SECONDS:g} s") from None
        if not part:
            raise ConnectionResetError("there was no request")
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def refuse(box: socket.socket, refusal: RefusedError) -> None:
    """Refuse a request, and say why in both places where programs look.

    Raises:
        OSError: If nobody listens.
    """
    text = f"{refusal.reason}\n".encode()
    head = (
        f"HTTP/1.1 {refusal.status} {refusal.reason}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    )
    box.settimeout(ANSWER_SECONDS)
    box.sendall(head.encode() + text)
    # What is unread when a connection is closed resets it, and the answer may be lost.
    box.shutdown(socket.SHUT_WR)
    drained, deadline = 0, time.monotonic() + ANSWER_SECONDS
    while drained < _DRAINED_BYTES and time.monotonic() < deadline:
        part = box.recv(1 << 16)
        if not part:
            return
        drained += len(part)
