"""The keeper of a box: process 1 of its namespaces, which sets it up and runs programs in it.

It has the box's capabilities and none outside of it. Programs run as the same user without any
capability, so they can neither trace nor kill it, and what they leave running is killed when they
end. It believes nothing that a program says.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import stat
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from agentgym.sandboxes.jail import kernel, program, wire

UID = GID = 1000
_BOX = "/box"
_HOME = "/box/work"
_LENGTH = struct.Struct("<I")
_STATUS_BYTES = 16 << 20
_DRAIN_SECONDS = 1.0
_INTERRUPT_SECONDS = 0.5


@dataclass
class _Captured:
    """What came out of a pipe, up to a limit."""

    limit: int
    data: bytearray = field(default_factory=bytearray)
    dropped: int = 0

    def add(self, part: bytes) -> None:
        room = self.limit - len(self.data)
        self.data += part[: max(room, 0)]
        self.dropped += max(len(part) - max(room, 0), 0)


@dataclass
class _Process:
    """A program, and our ends of its pipes."""

    pid: int
    exited: int
    stdin: int
    stdout: int
    stderr: int
    status: int

    def close(self) -> None:
        for fd in (self.exited, self.stdin, self.stdout, self.stderr, self.status):
            if fd >= 0:
                os.close(fd)


class Keeper:
    """Serves one box.

    Args:
        connection: The host's end of the box.
        seccomp: The filter of system calls that programs run under.
    """

    def __init__(self, connection: socket.socket, seccomp: bytes) -> None:
        self._connection = connection
        self._seccomp = seccomp
        self._env: dict[str, str] = {}
        self._session: _Process | None = None

    def serve(self, outer_uid: int, outer_gid: int) -> None:
        """Answer requests until the host hangs up.

        Args:
            outer_uid: The user that this process was, seen from the namespace around it.
            outer_gid: And the group.
        """
        operations = {
            "open": self._open,
            "exec": self._exec,
            "cell": self._cell,
            "put": self._put,
            "get": self._get,
        }
        self._ids = outer_uid, outer_gid
        while True:
            message = wire.receive(self._connection)
            if message is None:
                return
            header, body = message
            try:
                reply, data = operations[header["op"]](header, body)
            except OSError as fault:
                reply, data = {"error": str(fault), "errno": fault.errno}, b""
            wire.send(self._connection, reply, data)

    # Requests.

    def _open(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        # Files in /proc belong to root where a process hides, and the maps are written through it.
        kernel.map_ids(*self._ids, UID, GID)
        kernel.hide()
        options = f"size={header['disk_bytes']},nr_inodes={header['inodes']},mode=755"
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        kernel.mount("box", _BOX, "tmpfs", flags, options)
        for name, target in (("work", None), ("tmp", "/tmp"), ("shm", "/dev/shm")):
            os.mkdir(f"{_BOX}/{name}", 0o700)
            if target is not None:
                kernel.mount(f"{_BOX}/{name}", target, None, kernel.MS_BIND)
        kernel.mount("proc", "/proc", "proc", flags | kernel.MS_NOEXEC)
        kernel.mount("/proc/sys", "/proc/sys", None, kernel.MS_BIND)
        read_only = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOEXEC
        kernel.mount(None, "/proc/sys", None, read_only | flags)
        self._env = {"HOME": _HOME, "TMPDIR": "/tmp", "MPLBACKEND": "Agg", **header["env"]}
        start = 0
        for path, size in header["files"]:
            self._write(path, body[start : start + size])
            start += size
        return {}, b""

    def _exec(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Run a command, or source as a script, in a process of its own."""
        code = body[: header["code_bytes"]].decode("utf-8", "replace")
        stdin = body[header["code_bytes"] :]
        process = self._start(header, code)
        try:
            return self._followed(process, header, stdin)
        finally:
            self._kill_others()
            self._reap()
            process.close()

    def _cell(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Run source in the session's namespace."""
        if self._session is None:
            self._session = self._start(header, None)
        process = self._session
        try:
            reply, data = self._followed(process, header, _LENGTH.pack(len(body)) + body)
        finally:
            self._kill_others()
            self._reap()
        if reply["exit"] is not None:
            process.close()
            self._session = None
            reply["ended"] = True
        return reply, data

    def _put(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        self._write(header["path"], body)
        return {}, b""

    def _get(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        path = os.path.join(_HOME, header["path"])
        # A pipe must not keep us waiting, nor a link that is put in the last place lead elsewhere.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            about = os.fstat(file)
            if not stat.S_ISREG(about.st_mode):
                return {"error": f"{path} is no ordinary file", "errno": 0}, b""
            if about.st_size > header["most"]:
                error = f"{path} has {about.st_size} bytes, more than {header['most']}"
                return {"error": error, "errno": 0}, b""
            data = b""
            while len(data) < header["most"]:
                part = os.read(file, header["most"] - len(data))
                if not part:
                    break
                data += part
            return {}, data
        finally:
            os.close(file)

    def _write(self, path: str, data: bytes) -> None:
        path = os.path.join(_HOME, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.open(path, flags, 0o644)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
        finally:
            os.close(file)

    # Processes.

    def _start(self, header: dict[str, Any], code: str | None) -> _Process:
        """Fork a program: a command or a script, or a session where there is no code."""
        ours: dict[str, int] = {}
        theirs: dict[str, int] = {}
        for name in ("stdin", "stdout", "stderr", "status"):
            read, write = os.pipe()
            theirs[name], ours[name] = (read, write) if name == "stdin" else (write, read)
        pid = os.fork()
        if pid == 0:
            try:
                status = program.become(theirs, header["limits"], self._seccomp, self._env)
                if header.get("argv"):
                    program.execute(header["argv"])
                elif code is not None:
                    program.run(code, status)
                else:
                    program.serve(os.fdopen(0, "rb", closefd=False), status)
            except BaseException as fault:
                os.write(2, f"the sandbox could not start: {fault}\n".encode())
            finally:
                os._exit(125)
        for fd in theirs.values():
            os.close(fd)
        for fd in ours.values():
            os.set_blocking(fd, False)
        return _Process(pid, os.pidfd_open(pid), **ours)

    def _followed(
        self, process: _Process, header: dict[str, Any], stdin: bytes
    ) -> tuple[dict[str, Any], bytes]:
        """Feed a program, collect what it writes, and end it when its time is over.

        A session's cell is over once its status came; anything else when it has exited.
        """
        one_cell = header["op"] == "cell"
        outputs = {
            process.stdout: _Captured(header["output_bytes"]),
            process.stderr: _Captured(header["output_bytes"]),
            process.status: _Captured(_STATUS_BYTES),
        }
        poll = select.poll()
        for fd in (*outputs, process.exited, self._connection.fileno()):
            poll.register(fd, select.POLLIN)
        left = memoryview(stdin)
        if not left and not one_cell:
            os.close(process.stdin)
            process.stdin = -1
        else:
            poll.register(process.stdin, select.POLLOUT)
        began = time.monotonic()
        deadline = began + header["wall"]
        open_fds = set(outputs)
        ending: tuple[int, Any] | None = None
        late = interrupted = False
        while open_fds or ending is None:
            wait = max(deadline - time.monotonic(), 0)
            for fd, events in poll.poll(wait * 1000 + 1):
                if fd in outputs:
                    if not self._collect(fd, outputs[fd]):
                        open_fds.discard(fd)
                        poll.unregister(fd)
                elif fd == process.exited:
                    poll.unregister(fd)
                    _, code, usage = os.wait4(process.pid, 0)
                    ending = code, usage
                    # What it left running holds the pipes open, and is to end with it.
                    self._kill_others()
                    deadline = time.monotonic() + _DRAIN_SECONDS
                elif fd == process.stdin:
                    left = self._feed(process, left, poll, keep=one_cell)
                elif fd == self._connection.fileno() and events & (select.POLLHUP | select.POLLERR):
                    os._exit(0)  # nobody waits any more, and everything here ends with process 1
                elif fd == self._connection.fileno():
                    poll.unregister(fd)  # the next request; its turn comes
            if one_cell and ending is None and _complete(outputs[process.status].data):
                for fd in (process.stdout, process.stderr):
                    while fd in open_fds and self._collect(fd, outputs[fd]) is True:
                        if not select.select([fd], [], [], 0)[0]:
                            break
                break
            if time.monotonic() >= deadline:
                if ending is not None:
                    break
                late = True
                if one_cell and not interrupted:
                    # An interrupt keeps the namespace, if the code lets itself be interrupted.
                    interrupted = True
                    os.kill(process.pid, signal.SIGINT)
                    deadline = time.monotonic() + _INTERRUPT_SECONDS
                else:
                    os.kill(process.pid, signal.SIGKILL)
                    deadline = time.monotonic() + _DRAIN_SECONDS
        reply: dict[str, Any] = {
            "exit": None if ending is None else os.waitstatus_to_exitcode(ending[0]),
            "cpu": 0.0 if ending is None else ending[1].ru_utime + ending[1].ru_stime,
            "seconds": time.monotonic() - began,
            "late": late,
            "dropped": [outputs[process.stdout].dropped, outputs[process.stderr].dropped],
            "told": _told(outputs[process.status].data),
            "stdout_bytes": len(outputs[process.stdout].data),
        }
        return reply, bytes(outputs[process.stdout].data + outputs[process.stderr].data)

    def _collect(self, fd: int, into: _Captured) -> bool:
        """Take what a pipe holds; False at its end."""
        try:
            part = os.read(fd, 1 << 16)
        except BlockingIOError:
            return True
        into.add(part)
        return bool(part)

    def _feed(
        self, process: _Process, left: memoryview, poll: select.poll, *, keep: bool
    ) -> memoryview:
        try:
            left = left[os.write(process.stdin, left) :]
        except BlockingIOError:
            return left
        except BrokenPipeError:
            left = left[:0]
        if not left:
            poll.unregister(process.stdin)
            if not keep:
                os.close(process.stdin)
                process.stdin = -1
        return left

    def _kill_others(self) -> None:
        """Kill every process of the box but this one and the session's."""
        if self._session is None:
            with suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
            return
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) not in (1, self._session.pid):
                with suppress(ProcessLookupError):
                    os.kill(int(name), signal.SIGKILL)

    def _reap(self) -> None:
        """Take leave of processes that have ended, but of the session's."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or (self._session is not None and found.si_pid == self._session.pid):
                return
            os.waitpid(found.si_pid, 0)


def _complete(status: bytearray) -> bool:
    return (
        len(status) >= _LENGTH.size and len(status) >= _LENGTH.size + _LENGTH.unpack_from(status)[0]
    )


def _told(status: bytearray) -> dict[str, Any]:
    """Return what a program reported, if it is a report at all."""
    if not _complete(status):
        return {}
    try:
        told = json.loads(status[_LENGTH.size : _LENGTH.size + _LENGTH.unpack_from(status)[0]])
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
