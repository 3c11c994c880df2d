"""Every way out that we know of, tried in every backend that promises to hold."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from archive_escapes import ARCHIVES
from engines import Engine
from escapes import ESCAPES, LISTED, NETWORK, PRELUDE, PROXY, Escape

from agentgym.errors import DataError
from agentgym.sandbox import ExecResult, Sandbox, make_sandbox
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
        box.exec('rm -rf "$HOME"/* /tmp/big /tmp/agentgym-* /dev/shm/*', language="sh")
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
    result = tried(escape, box, {name: getattr(host, name) for name in Host.__slots__})
    said = result.stdout + result.stderr
    assert "GOT" not in result.stdout, said
    assert SECRET not in said


def tried(escape: Escape, box: Sandbox, around: Mapping[str, object]) -> ExecResult:
    """Have a box try a way out.

    Args:
        escape: The way.
        box: The box.
        around: What its source names.
    """
    source = escape.source
    for name, value in around.items():
        shown = str(value) if isinstance(value, Path) else value
        source = source.replace(f"{{{name}!r}}", repr(shown)).replace(f"{{{name}}}", str(shown))
    result = box.exec(PRELUDE + source, files_out=escape.leaves)
    # A program that broke before it tried has shown nothing.
    ended = escape.ends and result.limit is not None
    assert "HELD" in result.stdout or "GOT" in result.stdout or ended, result
    # Whatever it did, the box still serves.
    assert box.exec("print(6 * 7)").stdout == "42\n"
    return result


# Archives.


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is around a box, each with a file `kept` and nothing else.

    Attributes:
        outside: A folder that anybody on this machine can write to.
        neighbour: Another box.
    """

    outside: Path
    neighbour: Sandbox

    def got_by(self, escape: Escape, box: Sandbox) -> list[str]:
        """Return what a way out has got at, here or there."""
        home = self.neighbour.exec("import os\nprint(os.getcwd())").stdout.strip()
        result = tried(escape, box, {"outside": self.outside, "neighbour": home})
        found = [name for name, data in result.files.items() if SECRET.encode() in data]
        for name in escape.leaves:
            with suppress(DataError):
                found += [name] if SECRET.encode() in box.get(name) else []
            with suppress(DataError):
                box.put(name, "put")
        here = {path.name: path.read_text() for path in self.outside.iterdir()}
        names = "import os\nprint(*sorted(os.listdir()))"
        there = self.neighbour.exec(names).stdout, self.neighbour.get("kept").decode()
        found += ["outside"] if here != {"kept": SECRET} else []
        return found + (["neighbour"] if there != ("kept\n", SECRET) else [])


@pytest.fixture
def outside(public: Path) -> Path:
    folder = public / "outside"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "kept").write_text(SECRET)
    folder.chmod(0o777)
    (folder / "kept").chmod(0o666)
    return folder


@pytest.fixture(scope="module")
def other_container(engine: Engine) -> Iterator[Sandbox]:
    with make_sandbox("docker", **LIMITS, **engine.options) as box:
        yield box


@pytest.fixture
def around(backend: str, outside: Path, request: pytest.FixtureRequest) -> Iterator[Surroundings]:
    if backend == "docker":
        neighbour: Sandbox = request.getfixturevalue("other_container")
        neighbour.put("kept", SECRET)
        yield Surroundings(outside, neighbour)
    else:
        with make_sandbox(backend, files={"kept": SECRET}, **LIMITS) as neighbour:
            yield Surroundings(outside, neighbour)


@pytest.mark.integration
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("escape", ARCHIVES, ids=lambda escape: escape.name)
def test_no_way_out_by_an_archive(escape: Escape, box: Sandbox, around: Surroundings) -> None:
    assert around.got_by(escape, box) == []


@pytest.mark.integration
@pytest.mark.parametrize("escape", ARCHIVES, ids=lambda escape: escape.name)
def test_without_isolation_an_archive_gets_out(
    escape: Escape, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")  # where a hard link to `outside` can be
    unsafe = {"allow_unsafe": True, **LIMITS}
    with (
        make_sandbox("local", **unsafe) as box,
        make_sandbox("local", files={"kept": SECRET}, **unsafe) as neighbour,
    ):
        assert Surroundings(outside, neighbour).got_by(escape, box) != []


def test_there_are_many_ways() -> None:
    every = [*ESCAPES, *PROXY, *ARCHIVES]
    assert len({escape.name for escape in every}) == len(every) >= 100
