"""Memory cgroups of boxes: one limit for all processes of a box and its files together.

The host makes a cgroup and opens its entrance; the box's launcher, of which all programs are forks,
goes in by itself before there is any (`jail/keeper.py`). So nobody names a process by a number,
which could be another's by then, and no program ever has the entrance. The box that a zygote has to
spare is in its cgroup already, which is limited when the box is handed out.

A cgroup can be removed once its processes are gone, a moment after its box was closed. A thread
does it, which ends when there has been nothing to remove for a while. A process that is killed
leaves its cgroups behind for the next one that makes some. Their names say whose they are.
"""

import itertools
import os
import re
import threading
import time
import weakref
from collections import deque
from contextlib import suppress

from agentgym.errors import InfraError
from agentgym.sandboxes.cgroup_places import NoPlaceError, Place, find_place

_ROUND_SECONDS = 0.02
_LINGER_ROUNDS = 50
_END_SECONDS = 2.0
_TRIED_BYTES = 1 << 26
_NAME = re.compile(r"agentgym-(\d+)-(\d+)-(\d+)-\d+")


class Cgroup:
    """A box's cgroup; removed when it is closed, or forgotten.

    Args:
        path: Its folder.
        maker: Who made it, and removes it.
    """

    def __init__(self, path: str, maker: "Cgroups") -> None:
        self.path = path
        self._maker = maker
        self._events = f"{path}/{maker.place.dialect.events}"
        # Not at exit, where `Cgroups.close` waits for them all.
        self._end = weakref.finalize(self, maker.remove, path)
        self._end.atexit = False

    def entrance(self) -> int:
        """Return a descriptor by which whoever writes 0 to it goes in; the caller closes it.

        Raises:
            InfraError: If it can't be opened.
        """
        path = f"{self.path}/{self._maker.place.dialect.entrance}"
        try:
            return os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as fault:
            raise _failure(fault) from fault

    def limit(self, limit_bytes: int) -> None:
        """Limit it.

        Args:
            limit_bytes: Of memory for all in it together, without swap where that is counted.

        Raises:
            InfraError: If that can't be done.
        """
        try:
            self._maker.limit(self.path, limit_bytes)
        except OSError as fault:
            raise _failure(fault) from fault

    def kills(self) -> int:
        """Return how many of its processes were killed for want of memory; 0 once it is gone."""
        with suppress(OSError), open(self._events, "rb") as file:
            for line in file:
                name, _, count = line.partition(b" ")
                if name == b"oom_kill":
                    return int(count)
        return 0

    def close(self) -> None:
        """Have it removed as soon as its processes are gone; may be called more than once."""
        self._end()


class Cgroups:
    """Makes cgroups and removes them.

    Args:
        place: Where.

    Raises:
        NoPlaceError: If none can be made there after all; says why.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._owner = os.getpid()
        namespace = os.stat("/proc/self/ns/pid").st_ino
        self._name = f"agentgym-{namespace}-{self._owner}-{_start_ticks(self._owner)}"
        self._numbers = itertools.count()
        self._there: set[str] = set()
        self._leaving: deque[str] = deque()
        self._lock = threading.RLock()  # a thread that has it may be who forgets a cgroup
        self._remover: threading.Thread | None = None
        self._limits_swap = False
        self._try()
        self._inherit(namespace)

    def make(self) -> Cgroup:
        """Return a new cgroup, without a limit.

        Raises:
            InfraError: If it can't be made.
        """
        path = f"{self.place.folder}/{self._name}-{next(self._numbers)}"
        try:
            os.mkdir(path)
        except OSError as fault:
            raise _failure(fault) from fault
        self._there.add(path)
        return Cgroup(path, self)

    def limit(self, path: str, limit_bytes: int) -> None:
        """Limit a cgroup; see `Cgroup.limit`.

        Raises:
            OSError: If that can't be done.
        """
        dialect, limit = self.place.dialect, b"%d" % limit_bytes
        if self._limits_swap and dialect.swap_counts_memory:
            # It can't be less than the other, which may be about to rise.
            _write(f"{path}/{dialect.swap}", b"-1")
        _write(f"{path}/{dialect.limit}", limit)
        if self._limits_swap:
            _write(f"{path}/{dialect.swap}", limit if dialect.swap_counts_memory else b"0")

    def _try(self) -> None:
        """Make one, and see what there is."""
        path = f"{self.place.folder}/{self._name}-{next(self._numbers)}"
        try:
            os.mkdir(path)
            try:
                self._limits_swap = os.path.exists(f"{path}/{self.place.dialect.swap}")
                self.limit(path, _TRIED_BYTES)
            finally:
                os.rmdir(path)
        except OSError as fault:
            raise NoPlaceError(f"{fault.filename}: {fault.strerror}") from fault

    def _inherit(self, namespace: int) -> None:
        """Take over what processes left behind that have ended."""
        for path in self.place.folder.iterdir():
            found = _NAME.fullmatch(path.name)
            # Those of another namespace may live, for all that can be seen from here.
            if found is None or int(found[1]) != namespace:
                continue
            with suppress(PermissionError):  # whoever can't be seen may live as well
                if _start_ticks(int(found[2])) != int(found[3]):
                    self.remove(str(path))

    def remove(self, path: str) -> None:
        """Have a cgroup removed as soon as its processes are gone."""
        if self._owner != os.getpid():
            return  # a fork's copy of what is its parent's
        self._leaving.append(path)
        with self._lock:
            if self._remover is None:
                self._remover = threading.Thread(
                    target=self._remove_leaving, name="agentgym-cgroups", daemon=True
                )
                try:
                    self._remover.start()
                except RuntimeError:  # the interpreter exits, or there can be no more threads
                    self._remover = None

    def _remove_leaving(self) -> None:
        idle = 0
        while True:
            time.sleep(_ROUND_SECONDS)
            idle = 0 if self._remove_empty() else idle + 1
            with self._lock:
                # Starting a thread takes longer than all else that closing a box does. What hasn't
                # ended by now is tried again when the next box is closed.
                if idle > _LINGER_ROUNDS:
                    self._remover = None
                    return

    def _remove_empty(self) -> bool:
        """Remove what has no processes any more, and return whether that was anything."""
        removed = False
        for _ in range(len(self._leaving)):
            try:
                path = self._leaving.popleft()
            except IndexError:  # another thread was quicker
                break
            try:
                os.rmdir(path)
            except FileNotFoundError:
                pass
            except OSError:
                self._leaving.append(path)
                continue
            removed = True
            self._there.discard(path)
        return removed

    def close(self) -> None:
        """Remove every cgroup, those of boxes that were never closed, too."""
        self._leaving.extend(self._there.difference(self._leaving))
        deadline = time.monotonic() + _END_SECONDS
        while self._leaving and time.monotonic() < deadline:
            if not self._remove_empty():
                time.sleep(_ROUND_SECONDS)


_found: Cgroups | str | None = None  # or why there can be none
_finding = threading.Lock()


def own_cgroups() -> Cgroups:
    """Return who makes this process's cgroups.

    Raises:
        NoPlaceError: If there can be none; says why.
    """
    global _found
    with _finding:
        if _found is None:
            try:
                _found = Cgroups(find_place())
            except NoPlaceError as fault:
                _found = str(fault)
        found = _found
    if isinstance(found, str):
        raise NoPlaceError(found)
    return found


def forgo_cgroups(reason: str) -> None:
    """Do without from now on.

    Args:
        reason: Why, as the rest of a sentence.
    """
    global _found
    with _finding:
        _found = reason


def remove_cgroups() -> None:
    """Remove every cgroup that this process has made; their processes should be ended already."""
    if isinstance(_found, Cgroups):
        _found.close()


def _forget() -> None:
    """Let a fork of us start afresh: what there is, is ours."""
    global _found, _finding
    _found, _finding = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)


def _write(path: str, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, data)
    except OSError as fault:
        fault.filename = path
        raise
    finally:
        os.close(file)


def _start_ticks(pid: int) -> int | None:
    """Return when a process was started, in the kernel's ticks; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None


def _failure(fault: OSError) -> InfraError:
    return InfraError(
        f"The sandbox's memory cgroup can't be made: {fault.filename}: {fault.strerror}"
    )
