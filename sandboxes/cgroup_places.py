"""`find_place`: where this process may make memory cgroups, and how they are spoken to there.

cgroup v1 has its memory controller in a tree of its own, and whoever may write to its own folder
there has a place. v2 has one tree, in which a cgroup either holds processes or passes controllers
on to its children (the root does both), so the place is the nearest folder above this process that
passes memory on. Nothing of anybody else's is changed to get one.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


class NoPlaceError(Exception):
    """There can be no memory cgroups here; says why, as the rest of a sentence."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the files of a memory cgroup are called.

    Attributes:
        version: Of the interface, 1 or 2.
        entrance: Takes 0 from a process without further threads that is to go in.
        limit: Takes the most bytes of memory.
        swap: Takes the most bytes of swap; not there where the kernel doesn't count it.
        swap_counts_memory: Whether those are bytes of memory and swap together.
        events: Has a line `oom_kill N`: how many processes were killed for want of memory.
    """

    version: int
    entrance: str
    limit: str
    swap: str
    swap_counts_memory: bool
    events: str


_PROCESSES = "cgroup.procs"
# By this file of v1 a thread goes in at once. By the other, a process waits until every processor
# has been through the scheduler, as all of its threads have to go in together.
_THREADS = "tasks"

V1 = Dialect(
    version=1,
    entrance=_THREADS,
    limit="memory.limit_in_bytes",
    swap="memory.memsw.limit_in_bytes",
    swap_counts_memory=True,
    events="memory.oom_control",
)
V2 = Dialect(
    version=2,
    entrance=_PROCESSES,
    limit="memory.max",
    swap="memory.swap.max",
    swap_counts_memory=False,
    events="memory.events",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where cgroups can be made.

    Attributes:
        folder: The cgroup that they are made in.
        dialect: What their files are called.
    """

    folder: Path
    dialect: Dialect

    def __str__(self) -> str:
        return f"v{self.dialect.version}, in {self.folder}"


def find_place(process: Path = Path("/proc/self")) -> Place:
    """Return the place that a process has.

    Args:
        process: Its folder in /proc.

    Raises:
        NoPlaceError: If it has none.
    """
    try:
        cgroups = (process / "cgroup").read_text().splitlines()
        mounts = (process / "mountinfo").read_text().splitlines()
    except OSError as fault:
        raise NoPlaceError(f"{fault.filename} can't be read: {fault.strerror}") from fault
    own = {names: path for _, names, path in (line.split(":", 2) for line in cgroups)}
    for names, path in own.items():
        if "memory" in names.split(","):
            return _in_v1(_folder(mounts, "cgroup", path))
    if "" not in own:
        raise NoPlaceError("the kernel has no memory controller")
    return _in_v2(*_folder(mounts, "cgroup2", own[""]))


@dataclass(frozen=True, slots=True)
class _Mount:
    """A cgroup file system that is mounted.

    Attributes:
        root: The cgroup that is shown.
        point: Where.
    """

    root: str
    point: Path


def _mounted(mounts: list[str], kind: str) -> Iterator[_Mount]:
    """Give the mounts of a kind; of v1, those with the memory controller."""
    for line in mounts:
        before, _, after = line.partition(" - ")
        about, file_system = before.split(), after.split()
        if file_system[0] != kind:
            continue
        if kind == "cgroup" and "memory" not in file_system[-1].split(","):
            continue
        root, point = (re.sub(r"\\(\d{3})", _character, word) for word in about[3:5])
        yield _Mount(root, Path(point))


def _character(found: re.Match[str]) -> str:
    return chr(int(found[1], 8))


def _folder(mounts: list[str], kind: str, path: str) -> tuple[Path, Path]:
    """Return the folder of a cgroup, and the highest one above it that is shown."""
    for mount in _mounted(mounts, kind):
        inside = os.path.relpath(path, mount.root)
        if ".." not in Path(inside).parts and ".." not in Path(path).parts:
            return mount.point / inside, mount.point
    raise NoPlaceError(f"no mounted file system of type {kind} shows this process's cgroup {path}")


def _in_v1(folders: tuple[Path, Path]) -> Place:
    own, _ = folders
    if not os.access(own, os.W_OK):
        raise NoPlaceError(f"{own} can't be written to")
    return Place(own, V1)


def _in_v2(own: Path, top: Path) -> Place:
    closed: Path | None = None
    for folder in (own, *own.parents):
        try:
            passed_on = (folder / "cgroup.subtree_control").read_text().split()
        except OSError:
            passed_on = []
        if "memory" in passed_on:
            # Whoever moves a process has to be let into what is above both of its places.
            if os.access(folder, os.W_OK) and os.access(folder / _PROCESSES, os.W_OK):
                return Place(folder, V2)
            closed = closed or folder
        if folder == top:
            break
    if closed is not None:
        raise NoPlaceError(
            f"{closed} can't be written to; what runs under `systemd-run --user --scope "
            "-p Delegate=yes` is in one that can"
        )
    raise NoPlaceError(
        f"neither {own} nor a cgroup above it passes the memory controller on to its children "
        "(cgroup.subtree_control)"
    )
