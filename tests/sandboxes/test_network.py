"""What the programs of a box reach, where its spec lists something, and what is left of it."""

import errno
import gc
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engines import Engine
from leavings import descriptors, settled
from websites import Website, certificate, server, website

from agentgym.errors import InfraError, UsageError
from agentgym.sandbox import Sandbox, make_sandbox
from agentgym.sandboxes import proxy, relay
from agentgym.sandboxes.jail import network

pytestmark = pytest.mark.integration

Make = Callable[..., Sandbox]

LIMITS = {"wall_seconds": 10, "memory_mb": 256}
DOCKER = pytest.param("docker", marks=pytest.mark.docker)


@pytest.fixture(scope="module")
def site() -> Iterator[Website]:
    with website() as found:
        yield found


def out(box: Sandbox, source: str) -> str:
    result = box.exec(source)
    assert result.ok, result
    return result.stdout


def page(port: int, path: str = "/", host: str = "127.0.0.1") -> str:
    return (
        "import urllib.request\n"
        f"print(urllib.request.urlopen('http://{host}:{port}{path}', timeout=5).read().decode())"
    )


def test_a_listed_host_is_reached_and_no_other(make: Make, site: Website) -> None:
    with make(network=[f"127.0.0.1:{site.port}"]) as box:
        assert out(box, page(site.port, "/a")) == "page /a\n"
        refused = box.exec(page(80, host="example.org"))
        assert "403: example.org:80 is not on the list" in refused.stderr
        assert f"may reach: 127.0.0.1:{site.port}" in refused.stderr
        tunnel = """
import http.client
connection = http.client.HTTPSConnection("127.0.0.1", 3128, timeout=5)
connection.set_tunnel("example.org", 443)
connection.request("GET", "/")
"""
        assert "403 example.org:443 is not on the list" in box.exec(tunnel).stderr


def test_commands_take_the_proxy_too(make: Make, site: Website) -> None:
    with make(network=[f"127.0.0.1:{site.port}"]) as box:
        got = box.exec(["python3", "-c", page(site.port, "/commanded")])
        assert (got.stdout, got.stderr) == ("page /commanded\n", "")


def test_other_programs_take_the_proxy_too(site: Website) -> None:
    with make_sandbox(network=[f"localhost:{site.port}"], **LIMITS) as box:
        got = box.exec(["curl", "-s", f"http://localhost:{site.port}/curled"])
        assert got.stdout == "page /curled"
        tunneled = box.exec(["curl", "-s", "-p", f"http://localhost:{site.port}/tunneled"])
        assert tunneled.stdout == "page /tunneled"
        refused = box.exec(["curl", "-sS", "https://example.org/"])
        assert (refused.exit_code, "403" in refused.stderr) == (56, True)


def test_https_is_between_the_program_and_its_host(make: Make, tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pem)
    trusted = pem.read_text().partition("-----BEGIN PRIVATE")[0]
    with website(tls) as site:
        source = f"""
import ssl, urllib.request
trusting = ssl.create_default_context(cafile="trusted.pem")
print(urllib.request.urlopen("https://localhost:{site.port}/secret", context=trusting).read())
"""
        network, files = [f"localhost:{site.port}"], {"trusted.pem": trusted}
        with make(network=network, files=files) as box:
            assert out(box, source) == "b'page /secret'\n"


def test_past_the_proxy_there_is_nothing(make: Make, site: Website) -> None:
    source = f"""
import socket
for host, port in (("127.0.0.1", {site.port}), ("192.0.2.1", 80)):
    try: socket.create_connection((host, port), 1)
    except OSError as fault: print(fault.strerror)
try: socket.getaddrinfo("example.org", 80)
except OSError as fault: print("no name")
"""
    with make(network=[f"127.0.0.1:{site.port}"]) as box:
        assert out(box, source) == "Connection refused\nNetwork is unreachable\nno name\n"


def test_a_box_has_a_loopback_of_its_own(make: Make) -> None:
    source = """
import socket, threading, urllib.request
from http.server import HTTPServer, SimpleHTTPRequestHandler
own = HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
threading.Thread(target=own.handle_request, daemon=True).start()
print(urllib.request.urlopen(f"http://127.0.0.1:{own.server_port}/", timeout=5).status)
"""
    with make(network=["example.org"]) as box:
        assert out(box, source) == "200\n"


def test_a_box_without_a_list_is_as_it_was(make: Make) -> None:
    source = """
import os, socket
print([name for name in os.environ if "proxy" in name.lower()])
try: socket.create_connection(("127.0.0.1", 3128), 1)
except OSError as fault: print(fault.strerror)
socket.create_server(("127.0.0.1", 3128)).close()
"""
    for _ in range(2):
        with make(keep=1) as box:
            # bubblewrap leaves the loopback down; an engine does not.
            down = box.exec("").isolation == "bubblewrap"
            said = "Network is unreachable" if down else "Connection refused"
            assert out(box, source) == f"[]\n{said}\n"
        # Which is not what the next box is made of.
        make(network=["example.org"], keep=1).close()


def test_a_box_with_a_list_is_used_once(make: Make) -> None:
    def member(box: Any) -> object:
        return getattr(box, "_fork", None) or box._container

    first = make(network=["example.org"], keep=1)
    used = member(first)
    first.close()
    assert member(make(network=["example.org"], keep=1)) is not used


def test_the_environment_says_where_and_can_say_otherwise(make: Make) -> None:
    source = "import os\nprint(os.environ['http_proxy'], os.environ['NO_PROXY'])"
    own = {"NO_PROXY": "x"}
    with make(network=["example.org"]) as box:
        assert out(box, source) == "http://127.0.0.1:3128 localhost,127.0.0.1,::1\n"
    with make(network=["localhost:1", "[::1]:1"]) as box:
        assert out(box, source) == "http://127.0.0.1:3128 127.0.0.1\n"
    with make(network=["example.org"], env=own) as box:
        assert out(box, source) == "http://127.0.0.1:3128 x\n"


def test_certificates_are_there() -> None:
    source = "import ssl\nprint(ssl.create_default_context().cert_store_stats()['x509_ca'] > 9)"
    if os.path.exists("/etc/ssl/certs/ca-certificates.crt"):
        with make_sandbox(network=["example.org"], **LIMITS) as box:
            assert out(box, source) == "True\n"


def test_a_session_keeps_to_its_list_and_stands_still(
    make: Make, site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "IDLE_SECONDS", 0.5)
    left = threading.Event()

    def flood(connection: socket.socket) -> None:
        try:
            while True:
                connection.sendall(bytes(1 << 16))
        finally:
            left.set()

    with server(flood) as port:
        listed = [f"127.0.0.1:{site.port}", f"127.0.0.1:{port}"]
        with make(network=listed, stateful=True) as box:
            opened = f"""
import socket
held = socket.create_connection(("127.0.0.1", 3128), 5)
held.sendall(b"CONNECT 127.0.0.1:{port} HTTP/1.1\\r\\n\\r\\n")
held.recv(12)
"""
            assert box.exec(opened).value == "b'HTTP/1.1 200'"
            # Nothing reads any more, and what waits for it is given up.
            assert left.wait(20)
            assert box.exec(page(site.port, "/later")).stdout == "page /later\n"
            assert box.exec("sum(iter(lambda: len(held.recv(1 << 16)), 0)) > 0").value == "True"


def test_closing_ends_what_passes(make: Make) -> None:
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        while connection.recv(1 << 16):
            pass
        ended.set()

    files = before(make)
    with server(serve) as port:
        box = make(network=[f"127.0.0.1:{port}"], stateful=True)
        box.exec(
            "import socket\nheld = socket.create_connection(('127.0.0.1', 3128), 5)\n"
            f"held.sendall(b'CONNECT 127.0.0.1:{port} HTTP/1.1\\r\\n\\r\\n')\nheld.recv(12)"
        )
        assert not ended.is_set()
        box.close()
        box.close()
        assert ended.wait(10)
        with pytest.raises(UsageError, match="closed"):
            box.exec("1")
    until_nothing_is_left(files)


@pytest.mark.parametrize("backend", ["bubblewrap", DOCKER])
def test_a_box_that_is_let_go_of_leaves_nothing(
    backend: str, request: pytest.FixtureRequest
) -> None:
    engine: Engine | None = request.getfixturevalue("engine") if backend == "docker" else None

    def make(**options: Any) -> Sandbox:
        return make_sandbox(backend, **options, **(engine.options if engine else {}))

    files = before(make)
    for _ in range(5):
        make(network=["example.org"])
    until_nothing_is_left(files)
    if engine is not None:
        assert settled(engine.containers, []) == []


def before(make: Make) -> int:
    """Return how many descriptors there are, once all are there that stay."""
    # Docker's SDK keeps a connection for each of the last 25 addresses that it asked.
    for _ in range(1 if make().exec("").isolation == "bubblewrap" else 8):
        make(network=["example.org"]).close()
    gc.collect()
    time.sleep(0.2)
    return descriptors()


def until_nothing_is_left(files: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        gc.collect()
        threads = [t for t in threading.enumerate() if t.name == "agentgym-proxy"]
        if not threads and descriptors() <= files:
            return
        time.sleep(0.05)
    raise AssertionError(f"{threads}, {descriptors()} files of {files}")


def test_a_loopback_that_can_t_be_set_up_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(network.fcntl, "ioctl", refuse)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        network.hand_over(theirs)
        with pytest.raises(InfraError, match=r"can't be set up: .*not permitted"):
            proxy.received(ours)
        theirs.shutdown(socket.SHUT_RDWR)
        with pytest.raises(InfraError, match="its keeper has died"):
            proxy.received(ours)
    with pytest.raises(InfraError, match="was not set up"):
        proxy.received(ours)


def test_a_socket_that_gets_lost_on_the_way_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(connection: socket.socket, said: list[bytes], fds: list[int]) -> None:
        connection.sendall(said[0])

    monkeypatch.setattr(network, "PORT", 0)
    monkeypatch.setattr(network.socket, "send_fds", send)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        network.hand_over(theirs)
        with pytest.raises(InfraError, match="was lost on the way"):
            proxy.received(ours)


def test_a_backend_that_can_t_keep_to_a_list_refuses_it() -> None:
    with pytest.raises(UsageError, match="use 'bubblewrap' or 'docker'"):
        make_sandbox("local", network=["example.org"], allow_unsafe=True)


FORKED = """
import json, os, signal, socket, sys, threading, time
from agentgym import sandbox
port, backend, options = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
def make_sandbox(**more): return sandbox.make_sandbox(backend, **options, **more)
network = [f"127.0.0.1:{port}"]
page = f"import urllib.request\\nprint(urllib.request.urlopen('http://127.0.0.1:{port}/').status)"
opened = f'''
import socket
held = socket.create_connection(("127.0.0.1", 3128), 5)
held.sendall(b"CONNECT 127.0.0.1:{port} HTTP/1.1\\\\r\\\\n\\\\r\\\\n")
assert held.recv(100).startswith(b"HTTP/1.1 200")
'''
box = make_sandbox(network=network, stateful=True)
assert box.exec(opened).ok
"""


@pytest.mark.parametrize(
    "source",
    [
        # The fork lets go of its parent's box, and the parent's connections go on.
        """
import gc
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    box.close()
    del box
    gc.collect()
    with make_sandbox(network=network) as own: assert own.exec(page).stdout == "200\\n"
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
said = box.exec("held.sendall(b'GET / HTTP/1.0\\\\r\\\\n\\\\r\\\\n')\\nheld.recv(15)")
assert said.value == "b'HTTP/1.1 200 OK'", said
assert box.exec(page).stdout == "200\\n"
box.close()
""",
        # The box ends while a fork of its maker lives, which holds nothing of it.
        """
def sockets():
    return {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")
            if os.path.lexists(f"/proc/{pid}/fd/{fd}")}
pid = os.getpid()
held = [name for name in sockets() if name.startswith("socket:")]
if backend == "docker":  # whose SDK has some of its own
    held = [os.readlink(f"/proc/{pid}/fd/{each.fileno()}") for each in box._proxy._sockets]
assert held
pid = os.fork()
if pid == 0:
    time.sleep(30)
    os._exit(0)
time.sleep(0.2)
assert not [name for name in sockets() if name in held]
box.close()
os.kill(pid, 9)
os.waitpid(pid, 0)
""",
        # Nobody closes it, and the interpreter ends all the same.
        "",
    ],
    ids=["goes on", "while a fork lives", "exits"],
)
@pytest.mark.parametrize("backend", ["bubblewrap", DOCKER])
def test_a_process_with_a_proxy(
    source: str, backend: str, site: Website, request: pytest.FixtureRequest
) -> None:
    engine: Engine | None = request.getfixturevalue("engine") if backend == "docker" else None
    options = engine.options if engine else {}
    command = [sys.executable, "-c", FORKED + source, str(site.port), backend, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_port_is_the_one_that_is_documented() -> None:
    page = Path(__file__).parents[2] / "docs/sandboxes.md"
    assert f"127.0.0.1:{network.PORT}" in page.read_text(encoding="utf-8")
