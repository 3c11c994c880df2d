"""Zygotes, as the host sees them: processes inside bubblewrap that fork a box when asked to.

A zygote is started once for each root file system and set of modules, and kept for the boxes to
come. It runs no model's code, so nothing that happens in a box can spoil it; one that died all the
same is replaced.
"""

import atexit
import os
import select
import shutil
import signal
import socket
import subprocess
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agentgym.errors import InfraError
from agentgym.sandboxes.bubblewrap_command import Recipe, arguments, opened_parts
from agentgym.sandboxes.cgroup_places import NoPlaceError
from agentgym.sandboxes.cgroups import Cgroup, forgo_cgroups, own_cgroups, remove_cgroups
from agentgym.sandboxes.idle import Idle
from agentgym.sandboxes.seccomp import seccomp_filter, supported

_START_SECONDS = 30.0
_FORK_SECONDS = 10.0
_NOBODY = 65534
_PROCESSORS = len(os.sched_getaffinity(0))


@dataclass(slots=True, eq=False, weakref_slot=True)
class Fork:
    """A box's process.

    Attributes:
        connection: Our end of the socket that it serves.
        pid: Its number as its zygote sees it.
        zygote: Who forked it.
        cgroup: Of its programs; None where there can be none.
        leases: How often it has been handed out.
    """

    connection: socket.socket
    pid: int
    zygote: "Zygote"
    cgroup: Cgroup | None
    leases: int = 1

    def shut(self) -> None:
        """Hang up: its keeper leaves at once, all else ends with it, and no answer comes."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of it; may be called more than once."""
        self.connection.close()
        if self.cgroup is not None:
            self.cgroup.close()

    def end(self) -> None:
        """End it, whatever it is at; may be called more than once."""
        gone = _is_gone(self.connection)
        self.shut()
        self.close()
        if not gone:  # or its number may be another's by now
            self.zygote.kill(self)


class Zygote:
    """A running zygote.

    Args:
        recipe: What it is made of.

    Raises:
        InfraError: If it can't be started; the message says why.
    """

    def __init__(self, recipe: Recipe) -> None:
        bwrap = shutil.which("bwrap")
        if bwrap is None:
            raise InfraError("bubblewrap is not installed: apt-get install bubblewrap")
        if not supported():
            raise InfraError("The bubblewrap sandbox runs on x86_64 and aarch64 machines only")
        self._lock = threading.Lock()
        self._retired = False
        self.idle = Idle[Fork]()
        self._forks = weakref.WeakSet[Fork]()
        self._spare_cgroup: Cgroup | None = None
        self._control, theirs = _socketpair(socket.SOCK_SEQPACKET)
        self._control.settimeout(_START_SECONDS)
        parts = opened_parts()
        nobody = _NOBODY if _is_root() else None
        try:
            self._process = subprocess.Popen(
                [bwrap, *arguments(recipe, parts), str(theirs.fileno()), *recipe.modules],
                cwd="/",
                pass_fds=[theirs.fileno(), *parts],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C is for us, and what is under way goes on
                # Root's user namespaces map root: a process in one of them would be root to the
                # host's /proc/sys. So root is given up before there are any.
                user=nobody,
                group=nobody,
                extra_groups=None if nobody is None else [],
            )
        finally:
            theirs.close()
            for part in parts:
                os.close(part)
        try:
            self._control.send(seccomp_filter())
            answer = self._control.recv(4096).decode()
        except OSError as fault:
            answer = f"no answer ({fault})"
        if answer != "ready":
            self.close()
            raise InfraError(_failure(answer, self._process))
        try:
            self._make_spare()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of bubblewrap's process, on the host."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can fork."""
        return not self._retired and self._process.poll() is None

    def box(self, memory_bytes: int, *, network: bool = False) -> Fork:
        """Return a box's process: one that was emptied, or a new one.

        Args:
            memory_bytes: What its programs and their files may take together, where there are
                cgroups.
            network: Whether it is a new one that first sends a socket of its loopback; see
                `jail/network.py`.

        Raises:
            InfraError: If there is none in time.
        """
        if network:
            return self._fork(b"box network", memory_bytes)
        # While one empties itself there should be another to hand out; more than processors can
        # work at are no use.
        while (fork := self.idle.take(patient=len(self._forks) > _PROCESSORS)) is not None:
            try:
                if fork.cgroup is not None:
                    fork.cgroup.limit(memory_bytes)
                return fork
            except InfraError:  # it still has more than that
                fork.end()
        return self._fork(b"box", memory_bytes)

    def _fork(self, request: bytes, memory_bytes: int) -> Fork:
        """Return a new box's process, in namespaces of its own and not set up yet.

        Args:
            request: What the zygote is asked for.
            memory_bytes: What its programs and their files may take together, where there are
                cgroups.

        Raises:
            InfraError: If there is none in time.
        """
        ours, theirs = _socketpair(socket.SOCK_STREAM)
        try:
            with self._lock, theirs:
                pid, cgroup = self._forked(request, theirs.fileno())
            if cgroup is not None:
                cgroup.limit(memory_bytes)
        except BaseException:
            ours.close()
            raise
        fork = Fork(ours, pid, self, cgroup)
        self._forks.add(fork)
        return fork

    def _forked(self, request: bytes, connection: int) -> tuple[int, Cgroup | None]:
        # The box to spare is in its cgroup already, since it takes the kernel a while to let a
        # process in; the one that we make now is for the next one to spare.
        coming = _new_cgroup()
        answer = self._ask(request, connection, coming)
        number, _, kind = answer.partition(b" ")
        former, self._spare_cgroup = self._spare_cgroup, None
        if kind == b"spare":
            self._spare_cgroup = coming
            return int(number), former
        if former is not None:
            former.close()
        if kind != b"new":
            said = answer.decode() or "it is gone"
            raise InfraError(f"The sandbox's zygote could not fork: {said}")
        if coming is not None:
            self._make_spare()
        return int(number), coming

    def _make_spare(self) -> None:
        """Have it make a box to spare, in a cgroup if processes of it can get into one."""
        cgroup = _new_cgroup()
        answer = self._ask(b"spare", None, cgroup)
        if answer == b"ready":
            self._spare_cgroup = cgroup
        elif cgroup is not None and answer:
            cgroup.close()
            said = answer.decode()
            forgo_cgroups(f"the kernel keeps a sandbox's processes out of theirs: {said}")

    def _ask(self, request: bytes, connection: int | None, cgroup: Cgroup | None) -> bytes:
        entrance = None if cgroup is None else cgroup.entrance()
        try:
            self._control.settimeout(_FORK_SECONDS)
            fds = [fd for fd in (connection, entrance) if fd is not None]
            socket.send_fds(self._control, [request], fds)
            return self._control.recv(256)
        except BaseException as fault:
            # It goes on for the boxes that it has; what it answers late would be taken for the
            # answer to something else.
            self._retired = True
            if isinstance(fault, OSError):
                raise InfraError(f"The sandbox's zygote does not answer: {fault}") from fault
            raise
        finally:
            if entrance is not None:
                os.close(entrance)

    def kill(self, fork: Fork) -> None:
        """End a box that doesn't end when its connection is closed."""
        try:
            with self._lock:
                if self._retired:
                    return
                self._control.settimeout(_FORK_SECONDS)
                self._control.send(b"kill %d" % fork.pid)
                self._control.recv(64)
        except OSError:
            self._retired = True

    def close(self) -> None:
        """End it and every box that it forked; may be called more than once."""
        self._retired = True
        self.idle.close()
        self._control.close()
        if self._spare_cgroup is not None:
            self._spare_cgroup.close()
        if self._process.poll() is not None:
            return  # its number may be another process's by now
        # All of it is in a PID namespace, which ends with its first process: bubblewrap's child.
        with suppress(FileNotFoundError):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
            for pid in children.split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        self._process.kill()
        self._process.wait(_START_SECONDS)


_running: dict[Recipe, Zygote] = {}
_former: list[Zygote] = []
_running_lock = threading.Lock()
_sockets: "weakref.WeakSet[socket.socket]" = weakref.WeakSet()


def zygote(recipe: Recipe) -> Zygote:
    """Return a zygote of a recipe, started if there is none.

    Raises:
        InfraError: If it can't be started.
    """
    with _running_lock:
        found = _running.get(recipe)
        if found is None or not found.alive:
            if found is not None:
                _former.append(found)  # it may have boxes still
            found = _running[recipe] = Zygote(recipe)
        return found


@atexit.register
def close_all() -> None:
    """End every zygote that this process started, and with it its boxes."""
    with _running_lock:
        while _running:
            _former.append(_running.popitem()[1])
        while _former:
            _former.pop().close()
    remove_cgroups()


def _forget() -> None:
    """Let a fork of us start afresh: zygotes and boxes are ours, and end with us, not with it."""
    global _running_lock
    _running_lock = threading.Lock()
    _running.clear()
    _former.clear()
    for each in list(_sockets):
        each.close()


os.register_at_fork(after_in_child=_forget)


def _is_gone(connection: socket.socket) -> bool:
    """Whether who had the other end has ended."""
    if connection.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLHUP)
    return bool(poll.poll(0))


def _new_cgroup() -> Cgroup | None:
    with suppress(NoPlaceError):
        return own_cgroups().make()
    return None


def _socketpair(kind: socket.SocketKind) -> tuple[socket.socket, socket.socket]:
    pair = socket.socketpair(socket.AF_UNIX, kind)
    _sockets.update(pair)
    return pair


def _failure(answer: str, process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    said = process.stderr.read().decode(errors="replace").strip()
    missing = answer.removeprefix("missing ")
    if missing != answer:
        return f"The sandbox's Python can't import {missing}; install it for that Python"
    return f"The sandbox can't be started: {said or answer}; `agentgym doctor sandbox` says more"


def _is_root() -> bool:
    return os.geteuid() == 0
