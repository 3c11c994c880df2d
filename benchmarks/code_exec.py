"""Time an execution of `print(sum(range(10)))` in our sandboxes and in their peers, in one run.

"stateless" is a new box for every run, closed afterwards; "in a kept box" is a new interpreter in a
box that stays; "stateful" is a cell of a session. The peers: `python -c` started in bubblewrap with
the same namespaces, `docker exec` of the same in a container that runs, a Jupyter kernel
(`jupyter_client`, no isolation) and smolagents' interpreter (in this process, no isolation), each
where it is installed. The rows about Docker need an engine (DOCKER_HOST) that has the image.

"a member" is what one more of what stays takes: the memory (PSS) of its processes, the mean of 16.
It is measured as root alone, since nobody else may look.

    python benchmarks/code_exec.py [--runs N] [--concurrency 1 8 64] [--image agentgym-python]

Prints p50, p99 and runs per second at each concurrency, where that makes sense for the peer, and
MiB a member.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import local
from typing import Any

from process_tree import mib_below

from agentgym.sandbox import Sandbox, make_sandbox

SOURCE = "print(sum(range(10)))"
SPEC = {"memory_mb": 256, "wall_seconds": 10.0}
MEMBERS = 16
# What nobody else asks for, and nobody keeps: a member that waits already takes nothing more.
ALONE: dict[str, Any] = {"modules": ("sched",), "keep": 0}


Way = Callable[[], AbstractContextManager[Callable[[], str]]]


@dataclass(frozen=True, slots=True)
class Row:
    """Latencies in milliseconds, and runs per second, of one way at one concurrency."""

    p50: float
    p99: float
    rate: float


def measure(run: Callable[[], str], runs: int, concurrency: int) -> Row:
    """Time runs that so many threads start as fast as they can."""

    def one(_: int) -> float:
        started = time.perf_counter()
        said = run()
        spent = time.perf_counter() - started
        if said.strip() != "45":
            raise RuntimeError(f"wrong answer: {said!r}")
        return 1000 * spent

    with ThreadPoolExecutor(concurrency) as threads:
        list(threads.map(one, range(concurrency)))  # whatever is made once is made now
        started = time.perf_counter()
        spent = sorted(threads.map(one, range(runs)))
        seconds = time.perf_counter() - started
    return Row(statistics.median(spent), spent[int(0.99 * len(spent))], runs / seconds)


def memory(member: Way, roots: Callable[[], list[int]] = lambda: [os.getpid()]) -> str:
    """Return the MiB that one more member takes, as text.

    Args:
        member: Starts one and gives a run in it.
        roots: The processes that members are below of; they are not counted.
    """
    if os.geteuid() != 0:
        return ""
    with ExitStack() as members:
        members.enter_context(member())()
        before = mib_below(roots())
        for _ in range(MEMBERS):
            members.enter_context(member())()
        return f"{(mib_below(roots()) - before) / MEMBERS:.1f} MiB"


def stateless(backend: str, **options: str) -> Callable[[], str]:
    """Return a run in a new box."""

    def run() -> str:
        with make_sandbox(backend, **SPEC, **options) as box:
            return box.exec(SOURCE).stdout

    return run


@contextmanager
def kept(backend: str, *, stateful: bool = False, **options: Any) -> Generator[Callable[[], str]]:
    """Give a run in the calling thread's own box."""
    mine, boxes = local(), list[Sandbox]()

    def run() -> str:
        if not hasattr(mine, "box"):
            mine.box = make_sandbox(backend, stateful=stateful, **SPEC, **options)
            boxes.append(mine.box)
        return str(mine.box.exec(SOURCE).stdout)

    try:
        yield run
    finally:
        for box in boxes:
            box.close()


@contextmanager
def docker_exec(image: str) -> Generator[Callable[[], str]]:
    """Give a run of `docker exec` in a container that waits."""
    start = ["docker", "run", "--rm", "-d", "--network=none", "--label=agentgym", image]
    container = _said([*start, "sleep", "infinity"]).strip()
    try:
        yield lambda: _said(["docker", "exec", container, "python3", "-I", "-c", SOURCE])
    finally:
        _said(["docker", "rm", "-f", container])


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def has_image(image: str) -> bool:
    """Whether an engine answers and has the image."""
    if find_spec("docker") is None or shutil.which("docker") is None:
        return False
    wanted = ["docker", "image", "inspect", image]
    return subprocess.run(wanted, capture_output=True, check=False, timeout=60).returncode == 0


def bare_bubblewrap() -> str:
    """Start an interpreter in bubblewrap."""
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr"]
    for name in ("bin", "lib", "lib64"):
        command += ["--symlink", f"usr/{name}", f"/{name}"]
    command += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "/usr/bin/python3", "-I"]
    return _said([*command, "-c", SOURCE])


@contextmanager
def jupyter() -> Generator[Callable[[], str]]:
    """Give a run as a cell of one Jupyter kernel."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(extra_arguments=["--log-level=ERROR"])

    def run() -> str:
        told: list[str] = []

        def hook(message: dict[str, dict[str, str]]) -> None:
            told.append(message["content"].get("text", ""))

        client.execute_interactive(SOURCE, output_hook=hook, timeout=60)
        return "".join(told)

    try:
        yield run
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def smolagents() -> Callable[[], str]:
    """Return a run in smolagents' local interpreter."""
    from smolagents.local_python_executor import LocalPythonExecutor

    executor = LocalPythonExecutor([])
    executor.send_tools({"print": print})
    return lambda: str(executor(SOURCE).logs)


def shims() -> list[int]:
    """Return the processes that have started our containers, each beside its container's own."""
    found = _said(["docker", "ps", "-q", "--filter", "label=agentgym"]).split()
    pids = _said(["docker", "inspect", "-f", "{{.State.Pid}}", *found]).split() if found else []
    return [
        int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in pids
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--image", default="agentgym-python", help="for Docker")
    arguments = parser.parse_args()
    print(f"{'':28}{'at once':>8}{'p50':>12}{'p99':>12}{'runs/s':>10}{'a member':>12}")

    def show(
        name: str, run: Callable[[], str], concurrencies: list[int], runs: int, takes: str = ""
    ) -> None:
        for concurrency in concurrencies:
            row = measure(run, runs, concurrency)
            print(
                f"{name:28}{concurrency:>8}{row.p50:>9.2f} ms{row.p99:>9.2f} ms{row.rate:>10.0f}"
                f"{takes:>12}",
                flush=True,
            )

    runs, many = arguments.runs, arguments.concurrency
    show("ours, stateless", stateless("bubblewrap"), many, runs)
    for name, stateful, count in (("in a kept box", False, runs), ("stateful", True, 5 * runs)):
        way = partial(kept, "bubblewrap", stateful=stateful)
        with way() as run:
            show(f"ours, {name}", run, many, count, memory(partial(way, **ALONE)))
    if has_image(image := arguments.image):
        show("ours, docker, stateless", stateless("docker", image=image), [1, 8], runs // 10)
        for name, stateful, count in (("kept box", False, runs), ("stateful", True, 5 * runs)):
            way = partial(kept, "docker", stateful=stateful, image=image)
            with way() as run:
                takes = memory(partial(way, **ALONE), shims)
                show(f"ours, docker, {name}", run, [1, 8], count, takes)
        way = partial(docker_exec, image)
        with way() as run:
            show("docker exec", run, [1, 8], runs // 10, memory(way, shims))
    if shutil.which("bwrap"):
        show("bubblewrap + python", bare_bubblewrap, many, runs // 4)
    if find_spec("jupyter_client") and find_spec("ipykernel"):
        with jupyter() as run:
            show("Jupyter kernel", run, [1], runs, memory(jupyter))
    if find_spec("smolagents"):
        show("smolagents (no isolation)", smolagents(), [1], runs)


if __name__ == "__main__":
    sys.exit(main())
