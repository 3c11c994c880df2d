"""Of ten thousand runs nothing is left, whatever they tried to leave."""

import os
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from engines import Engine
from leavings import cgroups, descendants, descriptors, mounts, settled

from agentgym.sandbox import make_sandbox
from agentgym.sandboxes.bubblewrap_command import Recipe
from agentgym.sandboxes.zygotes import zygote

pytestmark = [pytest.mark.integration, pytest.mark.slow]

RUNS, THREADS = 10_000, 4
RUNS_IN_DOCKER, BOXES_IN_DOCKER = 1_000, 40
SHARED = ("/tmp", "/dev/shm", "/var/tmp")  # folders of the host's that everybody may write to
MARK = f"agentgym-left-{os.getpid()}"

# A child that nobody waits for and that no signal to its group reaches, and files.
LITTER = f"""
import os, time
for folder in ("/tmp", "/dev/shm", "."):
    open(folder + "/{MARK}", "w").write("x" * 4096)
if os.fork() == 0:
    os.setsid()
    time.sleep(600)
    os._exit(0)
print("littered", flush=True)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the host's part would make temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []
    assert [name for folder in SHARED for name in Path(folder).glob(f"*{MARK}*")] == []


def runs(count: int) -> None:
    """Run litter in a box, then a command or a cell in it, until there were so many runs."""

    def one(number: int) -> None:
        options: dict[str, Any] = {
            "stateful": number % 4 == 0,
            "keep": THREADS if number % 3 else 0,
        }
        with make_sandbox("bubblewrap", memory_mb=256, **options) as box:
            assert box.exec(LITTER).stdout == "littered\n"
            second = box.exec(LITTER if number % 2 else ["cat", MARK])
            assert second.ok, second

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(one, range(count // 2)))


def elsewhere() -> list[str]:
    """Return what is mounted, but for what engines mount that come and go beside this test."""
    return [line for line in mounts() if "docker" not in line]


@pytest.mark.timeout(600)
def test_nothing_is_left_of_ten_thousand_runs() -> None:
    with make_sandbox(keep=0) as box:
        box.exec("1")
    parent = zygote(Recipe(None, "/usr/bin/python3", ()))
    before, threads = descriptors(), threading.active_count()
    mounted = elsewhere()
    mine = f"agentgym-*-{os.getpid()}-*-"
    confined = len(cgroups(mine))

    runs(RUNS)

    assert zygote(Recipe(None, "/usr/bin/python3", ())) is parent
    parent.idle.close()
    # The child of bubblewrap, the zygote, and the spare box: its keeper, launcher and program.
    assert settled(lambda: len(descendants(parent.pid)), 5) == 5
    # The box to spare has a cgroup, and the first box may have had one still.
    assert settled(lambda: len(cgroups(mine)) <= confined, True)
    assert settled(lambda: threading.active_count() <= threads, True)
    assert descriptors() <= before
    assert elsewhere() == mounted
    parent.close()  # since it keeps no boxes any more


@pytest.mark.docker
def test_nothing_is_left_of_a_thousand_runs_in_containers(engine: Engine) -> None:
    import docker

    with closing(docker.DockerClient(engine.url)) as client:
        root = str(client.info()["DockerRootDir"])
    mounted = [line for line in mounts() if root in line]
    made = set[str]()

    def one(_: int) -> None:
        with make_sandbox("docker", memory_mb=256, **engine.options) as box:
            made.update(engine.containers())
            for number in range(RUNS_IN_DOCKER // BOXES_IN_DOCKER):
                assert box.exec(LITTER if number % 2 else "print(1)").ok

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(one, range(BOXES_IN_DOCKER // 2)))
        before = descriptors()
        list(threads.map(one, range(BOXES_IN_DOCKER // 2)))
    assert len(made) == BOXES_IN_DOCKER
    assert settled(engine.containers, []) == []
    assert settled(lambda: [line for line in mounts() if root in line], mounted) == mounted
    assert [left for name in made for left in cgroups(name)] == []
    # The SDK keeps a connection for each of the last 25 addresses that it asked, which is some of
    # them by now; what every box left would be more.
    assert descriptors() - before < BOXES_IN_DOCKER // 4
