"""Every way out that we know of, tried in every backend that promises to hold."""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from engines import Engine
from escapes import ESCAPES, LISTED, NETWORK, PRELUDE, PROXY, Escape

from agentgym.sandbox import Sandbox, make_sandbox
from agentgym.sandboxes.bubblewrap import Bubblewrap
from agentgym.sandboxes.cgroup_places import NoPlaceError
from agentgym.sandboxes.cgroups import own_cgroups

BACKENDS = ("bubblewrap", pytest.param("docker", marks=pytest.mark.docker))
SECRET = "7d1c-secret-of-the-host"


@dataclass(frozen=True, slots=True)
class Host:
    """What there is on the host to be got at.

    Attributes:
        secret: A file that anybody on the host can read.
        port: Where something listens on loopback.
        abstract: The name of an abstract socket that something listens on.
    """

    secret: Path
    port: int
    abstract: str


@pytest.fixture(scope="module")
def host(public: Path) -> Iterator[Host]:
    secret = public / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    abstract = f"agentgym-escape-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as loopback, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(f"\0{abstract}")
        unix.listen()
        yield Host(secret, loopback.getsockname()[1], abstract)


LIMITS = {"wall_seconds": 1.5, "cpu_seconds": 1, "memory_mb": 256, "disk_mb": 32, "processes": 16}


@pytest.fixture(scope="module")
def container(engine: Engine) -> Iterator[Sandbox]:
    """One box for all, since a container takes its time; so each finds it as the others left it."""
    with make_sandbox("docker", **LIMITS, **engine.options) as box:
        yield box


@pytest.fixture
def box(backend: str, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    if backend == "docker":
        box: Sandbox = request.getfixturevalue("container")
        yield box
        box.exec('rm -rf "$HOME"/* /tmp/big /dev/shm/*', language="sh")
    else:
        with make_sandbox(backend, **LIMITS) as box:
            yield box


@pytest.mark.integration
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.name)
def test_no_way_out(escape: Escape, box: Sandbox, host: Host) -> None:
    if escape.together and isinstance(box, Bubblewrap):
        try:
            own_cgroups()
        except NoPlaceError as fault:
            pytest.skip(f"takes a memory cgroup: {fault}")
    attempt(escape, box, host)


@pytest.fixture(scope="module", params=BACKENDS)
def networked(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    backend: str = request.param
    options = request.getfixturevalue("engine").options if backend == "docker" else {}
    with make_sandbox(backend, network=[LISTED], **LIMITS, **options) as box:
        yield box


@pytest.mark.integration
@pytest.mark.parametrize("escape", [*NETWORK, *PROXY], ids=lambda escape: escape.name)
def test_no_way_out_past_a_list(escape: Escape, networked: Sandbox, host: Host) -> None:
    attempt(escape, networked, host)


def attempt(escape: Escape, box: Sandbox, host: Host) -> None:
    source = escape.source
    for name in ("secret", "port", "abstract"):
        value = getattr(host, name)
        value = str(value) if isinstance(value, Path) else value
        source = source.replace(f"{{{name}!r}}", repr(value)).replace(f"{{{name}}}", str(value))
    result = box.exec(PRELUDE + source)
    said = result.stdout + result.stderr
    assert "GOT" not in result.stdout, said
    assert SECRET not in said
    # A program that broke before it tried has shown nothing.
    assert "HELD" in result.stdout or (escape.ends and result.limit is not None), said
    # Whatever it did, the box still serves.
    assert box.exec("print(6 * 7)").stdout == "42\n"


def test_there_are_many_ways() -> None:
    assert len({escape.name for escape in [*ESCAPES, *PROXY]}) == len(ESCAPES) + len(PROXY) >= 60
