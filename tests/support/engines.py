"""A Docker Engine to test on: the one that answers, or one of our own while the tests run."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "sandboxes" / "images" / "from-debian.sh"
IMAGE = "agentgym-minimal"
_START_SECONDS = 60.0
BUILD_SECONDS = 900.0
"""How long making an image may take: a minute on an idle machine, many on a busy one."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A Docker Engine.

    Attributes:
        url: Its address.
        image: An image of it that has Python.
    """

    url: str
    image: str

    @property
    def options(self) -> dict[str, Any]:
        """What `make_sandbox` takes to run there, in containers that end with their box."""
        return {"engine": self.url, "image": self.image, "keep": 0}

    @property
    def has_gvisor(self) -> bool:
        """Whether it can run containers on gVisor's kernel."""
        with closing(_client(self.url)) as client:
            return "runsc" in client.info()["Runtimes"]

    def containers(self) -> list[str]:
        """Return the ids of every container of ours."""
        with closing(_client(self.url)) as client:
            found = client.containers.list(
                all=True, filters={"label": "agentgym"}, ignore_removed=True
            )
            return [container.id for container in found]


@contextmanager
def running_engine() -> Generator[Engine]:
    """Give an engine with an image; skip where there can't be one."""
    pytest.importorskip("docker")
    url = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if _answers(url):
        yield Engine(url, _image(url))
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip(f"no Docker Engine answers at {url}; root with dockerd would start one")
    # The path of a Unix socket has to be short, which pytest's own folders are not.
    with tempfile.TemporaryDirectory(prefix="agentgym-docker-", dir="/tmp") as name:
        folder = Path(name)
        url = f"unix://{folder}/socket"
        process = _start(folder, url)
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not _answers(url):
                if process.poll() is not None or time.monotonic() >= deadline:
                    log = (folder / "log").read_text()[-2000:]
                    pytest.skip(f"dockerd does not start:\n{log}")
                time.sleep(0.1)
            yield Engine(url, _image(url))
        finally:
            process.terminate()
            try:
                process.wait(_START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(folder: Path, url: str) -> "subprocess.Popen[bytes]":
    """Start an engine that leaves the machine's network alone, and ends with this process."""
    command = ["setpriv", "--pdeathsig", "TERM", "dockerd", "--iptables=false", "--bridge=none"]
    command += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    command += ["--pidfile", f"{folder}/pid", "-H", url]
    gvisor = shutil.which("runsc")
    if gvisor is not None:
        command += ["--add-runtime", f"runsc={_gvisor(folder, gvisor)}"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _gvisor(folder: Path, runsc: str) -> Path:
    """Return gVisor's runtime, as it runs without KVM or rights on the machine's network."""
    runtime = folder / "runsc"
    runtime.write_text(f'#!/bin/sh\nexec {runsc} --network=none --platform=ptrace "$@"\n')
    runtime.chmod(0o755)
    return runtime


def _client(url: str) -> Any:
    import docker

    return docker.DockerClient(url, timeout=120)


def _answers(url: str) -> bool:
    import docker

    try:
        _client(url).close()
    except docker.errors.DockerException:
        return False
    return True


def _image(url: str) -> str:
    """Return the name of an image that has Python, made without any registry if there is none."""
    import docker

    with closing(_client(url)) as client:
        try:
            client.images.get(IMAGE)
        except docker.errors.ImageNotFound:
            client.api.import_image(str(_archive()), repository=IMAGE)
    return IMAGE


def _archive() -> Path:
    """Return a root file system, built once for each version of the script."""
    version = hashlib.sha256(SCRIPT.read_bytes()).hexdigest()[:12]
    archive = ROOT / "build" / "docker" / f"minimal-{version}.tar"
    if not archive.exists():
        if os.geteuid() != 0 or shutil.which("debootstrap") is None:
            pytest.skip(f"there is no image {IMAGE}; root with debootstrap would build it")
        archive.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["sh", SCRIPT, archive], check=True, timeout=BUILD_SECONDS)
    return archive
