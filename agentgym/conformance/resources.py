"""Rules about what is left behind: no thread, no process, no open file."""

import gc
import os
import time
from dataclasses import dataclass
from pathlib import Path

from agentgym.conformance.subject import Subject, begin, demand, take

_PATIENCE = 5.0
"""Seconds that processes and threads get to go away after they were told to."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What this process holds.

    Attributes:
        threads: Threads of this process, native ones included.
        processes: Processes below this one.
        files: Open file descriptors.
    """

    threads: int
    processes: int
    files: int

    @classmethod
    def now(cls) -> "Holdings":
        """Count."""
        return cls(
            threads=len(os.listdir("/proc/self/task")),
            processes=_descendants(),
            files=len(os.listdir("/proc/self/fd")),
        )

    def more_than(self, before: "Holdings") -> str:
        """Say what there is more of than there was before; "" for nothing."""
        named = (
            ("threads", self.threads - before.threads),
            ("processes", self.processes - before.processes),
            ("open files", self.files - before.files),
        )
        return ", ".join(f"{grown} {name}" for name, grown in named if grown > 0)


def released(subject: Subject) -> str:
    """Episodes that are played and closed leave no thread, process or open file behind."""
    # What the first round leaves behind (a server kept warm, a library's thread pool) is kept on
    # purpose as far as the next rounds don't add to it. A pool may still fill up in the second, so
    # only what grows twice is a leak.
    _rounds(subject, 1)
    grown: list[str] = []
    for _ in range(2):
        gc.collect()
        before = Holdings.now()
        _rounds(subject, 3)
        grown.append(_settled(before))
        if not grown[-1]:
            return "three rounds left nothing behind"
    demand(False, f"Three rounds of make, reset, step and close leave behind: {grown[-1]}.")
    return ""


def _rounds(subject: Subject, count: int) -> None:
    for number in range(count):
        with subject.opened() as env:
            begin(env, number)
            take(env, "hello")
        with subject.opened():
            pass  # closed before its first episode
        with subject.opened() as env:
            begin(env, number)
            begin(env, number)  # an episode given up for the next
            env.close()
            begin(env, number)


def _settled(before: Holdings) -> str:
    deadline = time.monotonic() + _PATIENCE
    while (more := Holdings.now().more_than(before)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return more


def _descendants() -> int:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The name before the state may hold spaces and brackets; the last bracket ends it.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (OSError, UnicodeDecodeError):
                continue  # gone meanwhile
            parents[int(entry.name)] = int(fields[1])
    found, wave = 0, {os.getpid()}
    while wave:
        wave = {child for child, parent in parents.items() if parent in wave}
        found += len(wave)
    return found
