"""The keeper of a container: its main process, sent over the container's streams.

It is root there, without root's rights but those that it needs to turn a fork of itself into a
program, and to end it (`CAPABILITIES`). Programs are another user, who has none: to them the
keeper can't be signalled, traced, limited or read, and its streams are out of reach.
"""

from __future__ import annotations

import base64
import errno
import gc
import importlib
import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

from agentgym.sandboxes.jail import files, kernel, network, program, wire
from agentgym.sandboxes.jail.keeper import Keeper
from agentgym.sandboxes.jail.launcher import Launcher

# To change user and group, to drop what a program could inherit, and to end programs.
CAPABILITIES = ("SETUID", "SETGID", "SETPCAP", "KILL")
# Nobody's on the host, where 1000 would be somebody's.
USER = 65532
_DISK = "/tmp"
_CROWDED = {errno.EAGAIN: "processes", errno.ENOMEM: "memory"}


class Streams:
    """The container's stdin and stdout, as a connection to the host."""

    def __init__(self) -> None:
        self._input, self._output = os.dup(0), os.dup(1)
        nowhere = os.open("/dev/null", os.O_RDWR)
        os.dup2(nowhere, 0)
        os.dup2(nowhere, 1)
        os.close(nowhere)

    def sendall(self, data: bytes) -> None:
        """Write all of it."""
        left = memoryview(data)
        while left:
            left = left[os.write(self._output, left) :]

    def recv(self, size: int) -> bytes:
        """Read what there is, or wait for it."""
        return os.read(self._input, size)

    def fileno(self) -> int:
        """Return what is read from."""
        return self._input

    def settimeout(self, value: float) -> None:
        """Wait for the host as long as it is there."""


class ContainerKeeper(Keeper):
    """Serves one box in a container that the engine has set up.

    Args:
        seccomp: The filter of system calls that programs run under, besides the engine's own.
    """

    home = f"{_DISK}/work"
    shown_processes = 2  # itself, too

    def _set_up(self) -> None:
        kernel.hide()
        os.setgroups([])
        with self._as_program():
            for name in ("work", "shm"):
                os.mkdir(f"{_DISK}/{name}", 0o700)
        # One file system of one size, wherever a program writes.
        with suppress(FileExistsError):
            os.symlink(f"{_DISK}/shm", "/dev/shm")

    def _clear(self) -> None:
        with self._as_program():
            files.empty(_DISK)

    def _limit_disk(self, header: dict[str, Any]) -> None:
        """Leave it to the engine, which has done it."""

    def _launch(self) -> Launcher:
        return Launcher(
            lambda: program.prepare(self._seccomp), lambda fds: program.main(fds, _give_up)
        )

    @contextmanager
    def _as_program(self) -> Generator[None, None, None]:
        os.setegid(USER)
        os.seteuid(USER)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)

    def _exec(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        return _in_what_room_there_is(super()._exec, header, body)

    def _cell(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        return _in_what_room_there_is(super()._cell, header, body)


def _give_up() -> None:
    """Become the programs' user, without any right."""
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    kernel.drop_capabilities()


def _hand_over() -> str:
    """Give the host a socket of the loopback, and return why that failed, if it did."""
    try:
        network.hand_over_at_meeting()
    except OSError as fault:
        return str(fault)
    return ""


def _leave(*_: object) -> None:
    os._exit(0)


def main(options: dict[str, Any]) -> None:
    """Serve the host until it hangs up.

    Args:
        options: The filter of system calls in base 64 ("seccomp"), what to import ("modules"), and
            whether the host is to have a socket of the loopback ("network").
    """
    # Process 1 gets only what it handles: this is what `docker stop` sends.
    signal.signal(signal.SIGTERM, _leave)
    streams = Streams()
    missing: list[str] = []
    for module in options["modules"]:
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(module)
    # The collector would touch every object, and a fork copies each page that is touched.
    gc.collect()
    gc.freeze()
    # Before there are programs, and while nothing has been forked that would hold the socket.
    cut_off = _hand_over() if options["network"] else ""
    wire.send(streams, {"missing": missing, "cut_off": cut_off})
    keeper = ContainerKeeper(base64.b64decode(options["seccomp"]))
    keeper.prepare(0, 0)
    keeper.serve(streams)


_Run = Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]


def _in_what_room_there_is(
    run: _Run, header: dict[str, Any], body: bytes
) -> tuple[dict[str, Any], bytes]:
    """Run something; that no process can be started is an answer."""
    try:
        return run(header, body)
    except OSError as fault:
        # What a session left behind fills the container, and is its own doing.
        if fault.errno not in _CROWDED:
            raise
        said = f"the sandbox has no room for another process: {fault.strerror}\n".encode()
        told = {"limit": _CROWDED[fault.errno]}
        reply = {"exit": 125, "cpu": 0.0, "seconds": 0.0, "late": False, "dropped": [0, 0]}
        return {**reply, "told": told, "sizes": [0, len(said)]}, said
