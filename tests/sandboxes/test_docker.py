"""What is Docker's own: the engine, images, containers that die, memory that they share."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from engines import Engine
from leavings import settled
from websites import website

from agentgym.errors import DataError, InfraError, MissingDependencyError, UsageError
from agentgym.sandbox import Limit, Sandbox, make_sandbox
from agentgym.sandboxes import containers
from agentgym.sandboxes import engine as engines
from agentgym.sandboxes.docker import Docker
from agentgym.sandboxes.engine import Streams
from agentgym.sandboxes.jail.network import MEETING_SOCKET
from agentgym.sandboxes.meeting import Meeting

pytestmark = [pytest.mark.integration, pytest.mark.docker]


@pytest.fixture
def box(engine: Engine) -> Iterator[Sandbox]:
    limits = {"wall_seconds": 10, "memory_mb": 96, "disk_mb": 16}
    with make_sandbox("docker", **limits, **engine.options) as box:
        yield box


def inspected(engine: Engine) -> Any:
    import docker

    (name,) = engine.containers()
    with closing(docker.DockerClient(engine.url)) as client:
        return client.api.inspect_container(name)


def gone(engine: Engine) -> bool:
    deadline = time.monotonic() + 20
    while engine.containers() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not engine.containers()


def test_the_docker_package_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_clients", {})  # where an earlier test has met DOCKER_HOST's
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(MissingDependencyError, match=r"agentgym-suite\[docker\]"):
        make_sandbox("docker")


def test_an_engine_that_isn_t_there_is_said() -> None:
    with pytest.raises(InfraError, match="No Docker Engine answers at unix:///nowhere"):
        make_sandbox("docker", engine="unix:///nowhere")


def test_an_engine_that_keeps_no_limits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def __init__(self, url: str, **_: Any) -> None:
            assert url == "unix:///limitless"

        def info(self) -> dict[str, Any]:
            return {"MemoryLimit": True, "PidsLimit": False}

    monkeypatch.setattr("docker.DockerClient", Client)
    with pytest.raises(InfraError, match=r"can't keep limits \(PidsLimit\)"):
        make_sandbox("docker", engine="unix:///limitless")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image": "agentgym-no-such-image"}, "has no image agentgym-no-such-image; build it"),
        ({"python": "/no/python"}, "can't be started: .*/no/python"),
        ({"python": "/bin/false"}, "can't run its keeper"),
        ({"runtime": "no-such-runtime"}, "can't be started: .*no-such-runtime"),
        ({"modules": ("no_such_module",)}, "can't import no_such_module; install it there"),
    ],
)
def test_what_can_t_be_started_is_said_and_leaves_nothing(
    options: dict[str, Any], said: str, engine: Engine
) -> None:
    with pytest.raises(InfraError, match=said):
        make_sandbox("docker", **engine.options | options)
    assert gone(engine)


def test_the_engine_is_told_to_keep_it_in(engine: Engine) -> None:
    with make_sandbox("docker", memory_mb=100, disk_mb=16, cpus=0.5, **engine.options):
        about = inspected(engine)
    host = about["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"]
    assert not host["Privileged"]
    assert (host["Binds"], host.get("Mounts"), about["Mounts"]) == (None, None, [])
    assert host["CapDrop"] == ["ALL"]
    assert set(host["CapAdd"]) <= {"SETUID", "SETGID", "SETPCAP", "KILL"}
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["PidsLimit"] == 32 + 2  # the keeper and its launcher
    assert host["Memory"] == host["MemorySwap"] == (100 + 16 + 64) << 20
    assert host["NanoCpus"] == 5 * 10**8
    assert host["LogConfig"]["Type"] == "none"
    assert about["Config"]["Labels"]["agentgym"] == "sandbox"


def test_programs_and_keeper_are_different_users(box: Sandbox) -> None:
    assert box.exec(["stat", "-c", "%u", "/proc/1"]).stdout == "0\n"
    said = box.exec("import os; print(os.getresuid(), os.getresgid(), os.getgroups())").stdout
    assert said == f"{(65532,) * 3} {(65532,) * 3} []\n"


def test_modules_are_there_beforehand(engine: Engine) -> None:
    with make_sandbox("docker", modules=("decimal",), **engine.options) as box:
        assert box.exec("import sys; print('decimal' in sys.modules)").stdout == "True\n"


def test_a_container_that_dies_is_the_world_s_fault_and_the_next_box_works(
    engine: Engine,
) -> None:
    import docker

    with make_sandbox("docker", **engine.options) as box:
        (name,) = engine.containers()
        with closing(docker.DockerClient(engine.url)) as client:
            killing = threading.Timer(0.5, client.api.kill, [name])
            killing.start()
            with pytest.raises(InfraError, match="container has died: somebody else ended it"):
                box.exec("import time; time.sleep(60)", wall_seconds=60)
            killing.join()
    assert gone(engine)
    with make_sandbox("docker", **engine.options) as box:
        assert box.exec("print(1)").stdout == "1\n"


def test_a_descriptor_is_kept_while_somebody_waits_at_it(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(box, Docker)
    waited: list[bool] = []
    close = Streams.close

    def closed(streams: Streams) -> None:
        waited.append(box._asking)
        close(streams)

    monkeypatch.setattr(Streams, "close", closed)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(box.exec, "import time; time.sleep(9)")
        assert settled(lambda: box._asking, True)
        time.sleep(0.2)
        # Or he who waits would do so at the engine's next connection, which takes its number.
        box.close()
        with pytest.raises(UsageError, match="closed while it was at work"):
            running.result(5)
    assert waited == [False]


@pytest.mark.parametrize("killed", [False, True], ids=["exits", "is killed"])
def test_containers_end_with_a_host_that(killed: bool, engine: Engine) -> None:
    source = f"""
import sys
from agentgym.sandbox import make_sandbox
box = make_sandbox("docker", **{engine.options!r})
print("ready", flush=True)
if {killed}:
    box.exec("import time; time.sleep(60)", wall_seconds=60)
"""
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == b"ready\n"
        if killed:
            host.kill()
    assert gone(engine)


def test_processes_together_have_the_box_s_memory_and_no_more(box: Sandbox) -> None:
    source = """
import os, signal
for _ in range(4):
    if os.fork() == 0:
        kept = bytearray(70 << 20)
        signal.pause()
if any(os.WIFSIGNALED(os.wait()[1]) for _ in range(4)):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    result = box.exec(source)
    assert (result.exit_code, result.limit) == (-9, Limit.MEMORY)
    assert box.exec("print(1)").stdout == "1\n"


def test_a_program_that_is_killed_otherwise_ran_into_no_limit(box: Sandbox) -> None:
    result = box.exec("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert (result.exit_code, result.limit) == (-9, None)


# Each of them is smaller than the keeper.
HUNGRY = """
import os
one = "(echo 0 > /proc/self/oom_score_adj; exec dd if=/dev/zero of=/dev/null bs=7M) & "
os.execvp("sh", ["sh", "-c", one * 28 + "wait"])
"""


def test_a_keeper_that_is_made_to_run_out_of_memory_is_no_fault_of_the_sandbox(
    box: Sandbox,
) -> None:
    box.put("kept", "")
    result = box.exec(HUNGRY)
    assert result.limit is Limit.MEMORY
    assert box.exec("print(1)").stdout == "1\n"


def test_links_lead_the_keeper_nowhere_that_a_program_could_not_go(box: Sandbox) -> None:
    links = {"shadow": "/etc/shadow", "root": "/root", "keeper": "/proc/1", "top": "/"}
    box.exec(f"import os\nfor name, to in {links!r}.items(): os.symlink(to, name)")
    for path in ("shadow", "root/.bashrc", "keeper/environ", "keeper/mem", "top/etc/shadow"):
        with pytest.raises(DataError):
            box.get(path)
    for path in ("root/new", "keeper/mem", "keeper/oom_score_adj", "top/dev/new"):
        with pytest.raises(DataError):
            box.put(path, "x")
    box.put("shadow", "in the place of the link")
    assert box.exec(["cat", "shadow"]).stdout == "in the place of the link"


def test_boxes_don_t_see_each_other(box: Sandbox, engine: Engine) -> None:
    look = "find / -name mine -not -path '/proc/*' 2>/dev/null; ls /proc | grep -c '^[0-9]'"
    with make_sandbox("docker", **engine.options) as other:
        assert isinstance(other, Docker)
        for path in ("mine", "/tmp/mine", "/dev/shm/mine"):
            box.put(path, "secret")
        other.exec("import time; time.sleep(0)")
        assert len(box.exec(look, language="sh").stdout.splitlines()) == 4
        seen = other.exec(look, language="sh").stdout.splitlines()
        assert len(seen) == 1  # no file, and a number of processes


def test_what_is_larger_than_the_disk_is_refused_beforehand(box: Sandbox) -> None:
    with pytest.raises(DataError, match="more than disk_mb=16"):
        box.put("big", bytes(17 << 20))
    assert box.exec("print(1)").stdout == "1\n"


# Where the spec lists a network.

PAGE = "import urllib.request as r\nprint(r.urlopen('http://127.0.0.1:{port}/', timeout=5).status)"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where meetings are: a path that is longer than a socket's may be."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_list_opens_no_network_and_leaves_an_empty_folder(
    engine: Engine, temporary: Path
) -> None:
    with (
        website() as site,
        make_sandbox("docker", network=[f"127.0.0.1:{site.port}"], **engine.options) as box,
    ):
        about = inspected(engine)
        # Gone already, and the programs' user could do nothing in it.
        assert list(temporary.iterdir()) == []
        assert box.exec("import os\nprint(os.listdir('/run/agentgym'))").stdout == "[]\n"
        assert box.exec("open('/run/agentgym/new', 'w')").exit_code == 1
        assert box.exec(PAGE.format(port=site.port)).stdout == "200\n"
    assert about["HostConfig"]["NetworkMode"] == "none"
    (bound,) = about["Mounts"]
    assert bound["Source"].startswith(str(temporary))
    assert (bound["Type"], bound["Destination"], bound["RW"]) == ("bind", "/run/agentgym", False)


def test_this_process_need_not_be_root(
    engine: Engine, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Somebodys(Meeting):
        def __init__(self) -> None:
            super().__init__()
            outer = Path(self.folder).parent
            # Then the container's root is another user, without the right to pass over modes.
            for path in (outer, *outer.rglob("*")) if os.geteuid() == 0 else ():
                os.chown(path, 65534, 65534)

    monkeypatch.setattr(containers, "Meeting", Somebodys)
    before = os.umask(0o077)
    try:
        with make_sandbox("docker", network=["127.0.0.1:1"], **engine.options) as box:
            assert "403" in box.exec(PAGE.format(port=80)).stderr
    finally:
        os.umask(before)


def test_an_engine_that_does_not_see_this_machine_is_the_caller_s_fault(
    engine: Engine, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere(Meeting):
        def __init__(self) -> None:
            super().__init__()
            self.folder = "/nowhere/agentgym"

    monkeypatch.setattr(containers, "Meeting", Elsewhere)
    with pytest.raises(UsageError, match="does not see this machine's temporary folder"):
        make_sandbox("docker", network=["example.org"], **engine.options)
    assert (list(temporary.iterdir()), gone(engine)) == ([], True)


def test_a_keeper_that_can_t_come_is_said(
    engine: Engine, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deserted(Meeting):
        def __init__(self) -> None:
            super().__init__()
            os.unlink(f"{self.folder}/{MEETING_SOCKET}")

    monkeypatch.setattr(containers, "Meeting", Deserted)
    with pytest.raises(InfraError, match=r"can't come to the host: .*an engine on this machine"):
        make_sandbox("docker", network=["example.org"], **engine.options)
    assert (list(temporary.iterdir()), gone(engine)) == ([], True)


def test_a_keeper_that_is_made_to_run_out_of_memory_keeps_to_its_list(engine: Engine) -> None:
    with website() as site:
        limits = {"wall_seconds": 10, "memory_mb": 96, "disk_mb": 16}
        listed = [f"127.0.0.1:{site.port}"]
        with make_sandbox("docker", network=listed, **limits, **engine.options) as box:
            assert isinstance(box, Docker)
            first = box._proxy
            assert box.exec(HUNGRY).limit is Limit.MEMORY
            assert box._proxy is not first
            assert box.exec(PAGE.format(port=site.port)).stdout == "200\n"
            assert "403" in box.exec(PAGE.format(port=site.port + 1)).stderr
