"""The keeper of a box: process 1 of its namespaces, which sets it up and runs programs in it.

It has the box's capabilities and none outside of it. Programs run as the same user without any
capability, so they can neither trace nor kill it, and what they leave running is killed when they
end. It believes nothing that a program says.
"""

from __future__ import annotations

import os
import signal
import stat
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from agentgym.sandboxes.jail import kernel, program, wire
from agentgym.sandboxes.jail.process import Process, kill_all, reap

UID = GID = 1000
_BOX = "/box"


class Keeper:
    """Serves one box, in namespaces that are its own already and not set up yet.

    Args:
        connection: The host's end of the box.
        seccomp: The filter of system calls that programs run under.
    """

    home = f"{_BOX}/work"

    def __init__(self, connection: wire.Connection, seccomp: bytes) -> None:
        self._connection = connection
        self._seccomp = seccomp
        self._env: dict[str, str] = {}
        self._session: Process | None = None

    def serve(self, outer_uid: int, outer_gid: int) -> None:
        """Answer requests until the host hangs up.

        Args:
            outer_uid: The user that this process is, or was in the namespace around it.
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
        # Process 1 gets what signals it handles, from programs too, and Python handles this one.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
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

    # What a keeper elsewhere does in its own way.

    def _set_up(self, header: dict[str, Any]) -> None:
        """Make the working directory, and all else that a program finds."""
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

    def _become(self, fds: dict[str, int], limits: dict[str, int]) -> int:
        """Turn this fork into a program's process, and return its status pipe."""
        return program.become(fds, limits, self._seccomp, self._env)

    def _as_program(self) -> AbstractContextManager[None]:
        """Open files with no more rights than a program has."""
        return nullcontext()

    # Requests.

    def _open(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        self._set_up(header)
        self._env = {"HOME": self.home, "TMPDIR": "/tmp", "MPLBACKEND": "Agg", **header["env"]}
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
            process.close()

    def _cell(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Run source in the session's namespace."""
        if self._session is None:
            self._session = self._start(header, None)
        process = self._session
        reply, data = self._followed(process, header, program.LENGTH.pack(len(body)) + body)
        if reply["exit"] is not None:
            process.close()
            self._session = None
            reply["ended"] = True
        return reply, data

    def _put(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        self._write(header["path"], body)
        return {}, b""

    def _get(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        path = os.path.join(self.home, header["path"])
        # A pipe must not keep us waiting, nor a link that is put in the last place lead elsewhere.
        with self._as_program():
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
        path = os.path.join(self.home, path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
        with self._as_program():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            file = os.open(path, flags, 0o644)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
        finally:
            os.close(file)

    # Processes.

    def _start(self, header: dict[str, Any], code: str | None) -> Process:
        """Fork a program: a command or a script, or a session where there is no code."""
        ours: dict[str, int] = {}
        theirs: dict[str, int] = {}
        for name in ("stdin", "stdout", "stderr", "status"):
            read, write = os.pipe()
            theirs[name], ours[name] = (read, write) if name == "stdin" else (write, read)
        try:
            pid = os.fork()
        except OSError:
            for fd in (*ours.values(), *theirs.values()):
                os.close(fd)
            raise
        if pid == 0:
            try:
                status = self._become(theirs, header["limits"])
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
        return Process(pid, os.pidfd_open(pid), **ours)

    def _followed(
        self, process: Process, header: dict[str, Any], stdin: bytes
    ) -> tuple[dict[str, Any], bytes]:
        try:
            host = self._connection.fileno()
            return process.follow(header, stdin, host, lambda: kill_all(self._session))
        finally:
            kill_all(self._session)
            reap(self._session)
