"""The launcher of a box: programs are forks of it, and it ends what they leave running.

It is there before the first request and learns nothing but when to fork: what a program is to do
comes over a pipe that the fork alone reads. So no program finds in its memory what the keeper was
given before, or what another program said. A session stands still while it has no cell to run.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from agentgym.sandboxes.jail import kernel
from agentgym.sandboxes.jail.exits import Exits

_CONTROL = 3
_ANSWER_SECONDS = 10.0
_SETTLE_SECONDS = 2.0
_BRISK_SECONDS = 0.002
_ROUND_SECONDS = 0.0002
_REQUEST = struct.Struct("<cii")
_STARTED = struct.Struct("<i?")
_SETTLED = struct.Struct("<id?")
_READY = b"ready"
_START, _SIGNAL, _SETTLE = b"f", b"k", b"e"
_RUNNING = -1
_STOPPED_IN_GVISOR = os.CLD_KILLED, 127


class LauncherGoneError(Exception):
    """The launcher does not answer; without it there is no box."""


@dataclass(frozen=True)
class Started:
    """A program that was started.

    Attributes:
        pid: Its number, as the launcher sees it.
        exited: A descriptor that can be read once it has exited.
        signal: Sends it a signal; nothing happens if it has exited.
    """

    pid: int
    exited: int
    signal: Callable[[int], None]


@dataclass(frozen=True)
class Settled:
    """What became of the box's programs.

    Attributes:
        status: As `wait` gives it, of the one that has exited; None if none was named.
        cpu: Seconds of CPU time that it took, with the children that it waited for.
        kept: Whether the one that is kept is there, and stands still.
    """

    status: int | None
    cpu: float
    kept: bool


class Launcher:
    """A box's launcher, as its keeper sees it; made of a fork of the keeper.

    Args:
        prepare: What the launcher does first, while the keeper goes on; the keeper's descriptors
            are open then.
        become: Turns a fork into a program that has these descriptors; doesn't return.
    """

    def __init__(
        self, prepare: Callable[[], None], become: Callable[[Sequence[int]], None]
    ) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            try:
                said = _READY
                try:
                    prepare()
                except OSError as fault:
                    said = str(fault).encode()
                os.dup2(theirs.fileno(), _CONTROL)
                os.closerange(_CONTROL + 1, 1 << 16)
                control = socket.socket(fileno=_CONTROL)
                kernel.hide()
                kernel.end_with_parent()
                kernel.adopt_orphans()
                control.send(said)
                if said == _READY:
                    _serve(control, become)
            finally:
                os._exit(0)
        theirs.close()
        self._control.settimeout(_ANSWER_SECONDS)

    def wait(self) -> None:
        """Wait until it is prepared.

        Raises:
            OSError: If that failed.
            LauncherGoneError: If there is no answer.
        """
        answer = self._control.recv(4096)
        if not answer:
            raise LauncherGoneError
        if answer != _READY:
            raise OSError(answer.decode())

    def start(self, fds: Sequence[int]) -> Started:
        """Start a program that has these descriptors.

        Raises:
            OSError: If there can't be another process.
            LauncherGoneError: If there is no answer.
        """
        try:
            socket.send_fds(self._control, [_START], list(fds))
            answer, exited, _, _ = socket.recv_fds(self._control, 64, 1)
        except OSError as fault:
            raise LauncherGoneError from fault
        if not answer:
            raise LauncherGoneError
        pid, signals = _STARTED.unpack(answer)
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        send = partial(_send, exited[0]) if signals else partial(self._pass_on, pid)
        return Started(pid, exited[0], send)

    def _pass_on(self, pid: int, number: int) -> None:
        """Have the launcher send a signal, which nobody answers: it does one thing at a time."""
        try:
            self._control.send(_REQUEST.pack(_SIGNAL, pid, number))
        except OSError as fault:
            raise LauncherGoneError from fault

    def settle(self, exited: int, kept: int) -> Settled:
        """End every program of the box, but one that is stopped until it gets SIGCONT.

        Args:
            exited: The number of one that has exited; 0 if there is none.
            kept: The number of the one to keep; 0 if there is none.

        Raises:
            LauncherGoneError: If there is no answer.
        """
        try:
            self._control.send(_REQUEST.pack(_SETTLE, exited, kept))
            answer = self._control.recv(64)
        except OSError as fault:
            raise LauncherGoneError from fault
        if not answer:
            raise LauncherGoneError
        status, cpu, there = _SETTLED.unpack(answer)
        return Settled(None if status == _RUNNING else status, cpu, there)


def _send(exited: int, number: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(exited, number)


def _serve(control: socket.socket, become: Callable[[Sequence[int]], None]) -> None:
    """Serve a keeper until it is gone."""
    exits = Exits()
    while True:
        request, fds, _, _ = socket.recv_fds(control, 64, 8)
        if not request:
            return
        if request == _START:
            try:
                _start(control, fds, become, exits)
            except OSError as fault:
                control.send(_STARTED.pack(-(fault.errno or 1), False))
            finally:
                for fd in fds:
                    os.close(fd)
            continue
        kind, pid, other = _REQUEST.unpack(request)
        if kind == _SIGNAL:
            with suppress(ProcessLookupError):
                os.kill(pid, other)
        else:
            status, cpu = _RUNNING, 0.0
            if pid:
                _, status, usage = os.wait4(pid, 0)
                cpu = usage.ru_utime + usage.ru_stime
            there = _stop_all_but(other) if other else _end_all()
            control.send(_SETTLED.pack(status, cpu, there))


def _start(
    control: socket.socket,
    fds: Sequence[int],
    become: Callable[[Sequence[int]], None],
    exits: Exits,
) -> None:
    """Start a program, and tell the keeper of it.

    Raises:
        OSError: If there can't be another process, or another descriptor; then there is none.
    """
    pid = os.fork()
    if pid == 0:
        exits.end()
        become(fds)
    try:
        exited = exits.of(pid)
        try:
            # It fails where programs of the same user, be it in other boxes, have too many
            # descriptors under way.
            socket.send_fds(control, [_STARTED.pack(pid, exits.signals)], [exited])
        finally:
            os.close(exited)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _end_all() -> bool:
    """End every program, and wait for them: they count as processes until they are gone."""
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    deadline = time.monotonic() + _SETTLE_SECONDS
    while _reap(0) and time.monotonic() < deadline:
        time.sleep(_ROUND_SECONDS)
    return False


def _stop_all_but(kept: int) -> bool:
    """End every program but one, and return whether that one now stands still."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    spared = {1, os.getpid(), kept}
    while True:
        # What stands still can't fork, so that there are no more of them than are found.
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGSTOP)
        others = [pid for pid in _present() if pid not in spared and _is_alive(pid)]
        for pid in others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap(kept)
        # A process with a thread that waits for a child of vfork stops when that child has ended.
        events = os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT
        found = os.waitid(os.P_PID, kept, events)
        if found is not None and not _is_stopped(found):
            return False
        if found is not None and not others:
            return True
        now = time.monotonic()
        if now >= deadline:
            os.kill(kept, signal.SIGKILL)
            return False
        # It takes a moment only, unless it is busy in the kernel.
        if now < deadline - _SETTLE_SECONDS + _BRISK_SECONDS:
            os.sched_yield()
        else:
            time.sleep(_ROUND_SECONDS)


def _is_stopped(found: os.waitid_result) -> bool:
    # gVisor says "killed by signal 127" of it, which there is none of.
    told = found.si_code, found.si_status
    return found.si_code == os.CLD_STOPPED or told == _STOPPED_IN_GVISOR


def _reap(kept: int) -> bool:
    """Take leave of children that have ended, and return whether there are more of them."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        if found is None or found.si_pid == kept:
            return True
        os.waitpid(found.si_pid, 0)


def _present() -> list[int]:
    """Return the numbers of the box's processes, with those that have ended."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            words = file.read().rpartition(b")")[2].split()
    except OSError:
        return False
    # One whose first thread has ended looks dead while its others run.
    return words[0] not in (b"Z", b"X") or int(words[17]) > 1
