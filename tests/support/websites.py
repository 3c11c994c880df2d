"""Servers on this machine's loopback, which programs reach through a proxy or not at all."""

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass
class Website:
    """A website that keeps connections open, and remembers what it was asked.

    Attributes:
        port: On 127.0.0.1.
        asked: Method, path and host of each request.
        pages: What a path answers; every other path answers with itself.
        kinds: What kind of content that is, where it isn't HTML.
        delays: Seconds that a path takes to answer.
    """

    port: int = 0
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    pages: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """Return the address of a path."""
        return f"http://{host}:{self.port}{path}"


@contextmanager
def website(tls: ssl.SSLContext | None = None) -> Generator[Website]:
    """Run a website, which answers GET with its path and POST with the length of the body."""
    site = Website()

    class Page(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            time.sleep(site.delays.get(self.path, 0))
            page = site.pages.get(self.path)
            if page is None:
                self._answer(f"page {self.path}".encode())
            else:
                kind = site.kinds.get(self.path, "text/html; charset=utf-8")
                self._answer(page.encode(), kind)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self._answer(b"%d bytes" % len(self.rfile.read(length)))

        def _answer(self, body: bytes, kind: str = "text/plain") -> None:
            site.asked.append((self.command, self.path, self.headers["Host"]))
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing: whoever asked has gone, as some do on purpose."""

    with Server(("127.0.0.1", 0), Page) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        site.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join(10)


def certificate(folder: Path) -> Path:
    """Return a file with a certificate for localhost that nobody but itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "localhost.pem"
    file.write_bytes(signed.public_bytes(encoding) + key.private_bytes(encoding, form, secret))
    return file


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Generator[int]:
    """Run a server that does something with each connection, and give its port."""

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.settimeout(30)
            threading.Thread(target=run, args=(connection,), daemon=True).start()

    def run(connection: socket.socket) -> None:
        with connection:
            try:
                serve(connection)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
