"""`examine`: what this machine has, what is missing, and what each missing part would be for.

Nothing is required but the core install: a missing part is a finding with a remedy. What is there
and doesn't work is broken, and `agentgym doctor` then exits with 1.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agentgym.registry import ENV_GROUP, list_envs, policies, sandboxes, tools, trainers


class Status(StrEnum):
    """What a finding means."""

    OK = "ok"
    MISSING = "missing"
    """Not there; what needs it says so when it is used."""
    BROKEN = "broken"
    """There, and it doesn't work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        part: What.
        status: How it is.
        detail: Version, size or reason.
        remedy: What to do where it isn't ok.
    """

    part: str
    status: Status
    detail: str
    remedy: str = ""


_PACKAGES = {
    "torch": "train",
    "transformers": "train",
    "peft": "train",
    "pandas": "data",
    "pyarrow": "data",
    "datasets": "data",
    "matplotlib": "plot",
    "math_verify": "code",
    "mcp": "mcp",
    "playwright": "web",
    "miniwob": "web",
    "textworld": "alfworld",
    "alfworld": "alfworld",
    "tensorboard": "tensorboard",
    "fastapi": "serve",
    "httpx": "remote",
}
_PROGRAMS = {
    "bwrap": ("sandboxes", "apt-get install bubblewrap"),
    "docker": ("sandboxes", "apt-get install docker.io"),
    "chromium": ("web environments", "apt-get install chromium"),
    "adb": ("Android environments", "apt-get install adb"),
}


def examine() -> list[Finding]:
    """Look at everything; takes a few seconds where torch is installed."""
    checks: list[Callable[[], Iterable[Finding]]] = [
        _python,
        _machine,
        _parts,
        _packages,
        _accelerator,
        _programs,
        _data,
    ]
    return [finding for check in checks for finding in check()]


def _python() -> Iterable[Finding]:
    yield Finding("python", Status.OK, f"{platform.python_version()} at {sys.executable}")
    yield Finding("agentgym-suite", Status.OK, version("agentgym-suite"))


def _machine() -> Iterable[Finding]:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    free = shutil.disk_usage(Path.cwd()).free
    cores = len(os.sched_getaffinity(0))
    yield Finding("cores", Status.OK, str(cores))
    yield Finding("memory", Status.OK, f"{pages * size / 2**30:.1f} GiB")
    low = free < 2 * 2**30
    yield Finding(
        "disk here",
        Status.BROKEN if low else Status.OK,
        f"{free / 2**30:.1f} GiB free",
        "free some: runs keep trajectories and checkpoints" if low else "",
    )


def _parts() -> Iterable[Finding]:
    yield Finding("environments", Status.OK, f"{len(list_envs())} ({ENV_GROUP})")
    for catalogue in (trainers, policies, tools, sandboxes):
        names = catalogue.names()
        yield Finding(catalogue.group.rpartition(".")[2], Status.OK, ", ".join(names) or "none")


def _packages() -> Iterable[Finding]:
    for package, extra in _PACKAGES.items():
        try:
            yield Finding(package, Status.OK, version(package))
        except PackageNotFoundError:
            remedy = f"pip install 'agentgym-suite[{extra}]'"
            yield Finding(package, Status.MISSING, f"extra [{extra}]", remedy)


def _accelerator() -> Iterable[Finding]:
    try:
        import torch
    except ImportError:
        return
    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
        yield Finding("GPU", Status.OK, f"{torch.cuda.device_count()} x {', '.join(names)}")
    elif torch.version.cuda is not None:
        yield Finding(
            "GPU",
            Status.MISSING,
            f"torch is built for CUDA {torch.version.cuda} and sees no GPU",
            "check the driver with nvidia-smi, or install torch's CPU build",
        )
    else:
        yield Finding("GPU", Status.MISSING, "torch is a CPU build", "fine for tiny models")


def _programs() -> Iterable[Finding]:
    for program, (purpose, remedy) in _PROGRAMS.items():
        path = shutil.which(program)
        if path is None:
            yield Finding(program, Status.MISSING, f"for {purpose}", remedy)
            continue
        try:
            done = subprocess.run(
                [path, "--version"], capture_output=True, text=True, timeout=20, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as fault:
            yield Finding(program, Status.BROKEN, str(fault), remedy)
            continue
        first = (done.stdout or done.stderr).strip().partition("\n")[0]
        status = Status.OK if done.returncode == 0 else Status.BROKEN
        yield Finding(program, status, first, "" if status is Status.OK else remedy)


def _data() -> Iterable[Finding]:
    folder = os.environ.get("ALFWORLD_DATA")
    if folder is None:
        yield Finding(
            "$ALFWORLD_DATA", Status.MISSING, "not set", "games are generated; nothing to do"
        )
    elif not (Path(folder) / "json_2.1.1").is_dir():
        yield Finding(
            "$ALFWORLD_DATA", Status.BROKEN, f"{folder} has no json_2.1.1", "alfworld-download"
        )
    else:
        yield Finding("$ALFWORLD_DATA", Status.OK, folder)
