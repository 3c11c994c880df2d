"""The keeper of a box: it sets the box up, and runs programs in it.

It has the box's capabilities and none outside of it. Programs run as the same user without any
capability in a PID namespace that the keeper is not in, so they can't even name it. It believes
nothing that a program says.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from agentgym.sandboxes.jail import files, kernel, program, wire
from agentgym.sandboxes.jail.launcher import Launcher, LauncherGoneError, Settled
from agentgym.sandboxes.jail.process import Process

UID = GID = 1000
_BOX = "/box"
_FLAGS = kernel.MS_NOSUID | kernel.MS_NODEV
_GARBAGE_SECONDS = 1.0
_GARBAGE_ROUND_SECONDS = 0.002


class Keeper:
    """Sets one box up, in namespaces that are its own already, and serves it.

    Args:
        seccomp: The filter of system calls that programs run under.
    """

    home = f"{_BOX}/work"
    own_processes = 2  # this one and the launcher, which the kernel counts with the programs
    shown_processes = 1  # in /proc, besides the programs: the launcher

    def __init__(self, seccomp: bytes) -> None:
        self._seccomp = seccomp
        self._env: dict[str, str] = {}
        self._session: Process | None = None
        self._spare: Process | None = None
        self._fault: Exception | None = None

    def prepare(self, outer_uid: int, outer_gid: int, cgroup: int | None = None) -> None:
        """Do what can be done before there is a request.

        Args:
            outer_uid: The user that this process is, or was in the namespace around it.
            outer_gid: And the group.
            cgroup: Where the launcher and the programs belong: whoever writes 0 to it is in. The
                keeper works for the host, and stays out.
        """
        # Process 1 gets what signals it handles, from programs too, and Python handles this one.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._ids = outer_uid, outer_gid
        self._cgroup = cgroup
        try:
            self._launcher = self._launch()
            self._set_up()
            self._launcher.wait()
            self._own_sockets = kernel.unix_sockets()
            self._make_spare()
        except (OSError, LauncherGoneError) as fault:
            self._fault = fault  # whoever opens the box hears of it

    def serve(self, connection: wire.Connection) -> None:
        """Answer requests until the host hangs up.

        Args:
            connection: The host's end of the box.
        """
        self._connection = connection
        operations = {
            "open": self._open,
            "exec": self._exec,
            "cell": self._cell,
            "put": self._put,
            "get": self._get,
            "renew": self._renew,
        }
        while True:
            message = wire.receive(connection)
            if message is None:
                return
            header, body = message
            try:
                reply, data = operations[header["op"]](header, body)
            except LauncherGoneError:
                return
            except Exception as fault:
                reply, data = {"error": _said(fault)}, b""
            wire.send(connection, reply, data)
            self._make_spare()

    @property
    def fault(self) -> Exception | None:
        """Why it could not be prepared; None if it could."""
        return self._fault

    # What a keeper elsewhere does in its own way.

    def _launch(self) -> Launcher:
        """Start the launcher."""
        # Files in /proc belong to root where a process hides, and the maps are written through it.
        kernel.map_ids(*self._ids, UID, GID)
        kernel.hide()
        kernel.unshare(kernel.NEWPID)
        return Launcher(self._surround, lambda fds: program.main(fds, kernel.drop_capabilities))

    def _surround(self) -> None:
        """Give the launcher what is around programs."""
        if self._cgroup is not None:
            os.write(self._cgroup, b"0")
            # Or programs would see what the host calls their cgroup.
            kernel.unshare(kernel.NEWCGROUP)
        # It keeps its capabilities: a process that has them is one that programs can't slow down.
        _mount_proc()
        program.prepare(self._seccomp)

    def _set_up(self) -> None:
        """Make the working directory, and all else that a program finds."""
        kernel.mount("box", _BOX, "tmpfs", _FLAGS, "mode=755")
        for name, target in (("work", None), ("tmp", "/tmp"), ("shm", "/dev/shm")):
            os.mkdir(f"{_BOX}/{name}", 0o700)
            if target is not None:
                kernel.mount(f"{_BOX}/{name}", target, None, kernel.MS_BIND)
        # Terminals of its own: those of another instance are open to everybody of the same user.
        options = "newinstance,ptmxmode=0666,mode=600,max=64"
        kernel.mount("devpts", "/dev/pts", "devpts", kernel.MS_NOSUID | kernel.MS_NOEXEC, options)

    def _clear(self) -> None:
        """Drop all that `_set_up` has made, and what programs have made of it.

        Raises:
            OSError: If something still uses it.
        """
        for target in ("/dev/pts", "/dev/shm", "/tmp", _BOX):
            kernel.unmount(target)

    def _limit_disk(self, header: dict[str, Any]) -> None:
        """Give the box's files the size that was asked for."""
        options = f"size={header['disk_bytes']},nr_inodes={header['inodes']}"
        kernel.mount(None, _BOX, None, kernel.MS_REMOUNT | _FLAGS, options)

    def _as_program(self) -> AbstractContextManager[None]:
        """Open files with no more rights than a program has."""
        return nullcontext()

    # Requests.

    def _open(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        if self._fault is not None:
            return {"error": _said(self._fault), "broken": True}, b""
        self._limit_disk(header)
        # Without packages in the home folder, which an earlier program may have put there.
        python = {"MPLBACKEND": "Agg", "PYTHONNOUSERSITE": "1"}
        self._env = {"HOME": self.home, "TMPDIR": "/tmp", **python, **header["env"]}
        start = 0
        for path, size in header["files"]:
            self._write(path, body[start : start + size])
            start += size
        return {}, b""

    def _exec(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Run a command, or source as a script, in a process of its own."""
        code, stdin = body[: header["code_bytes"]], body[header["code_bytes"] :]
        process = self._take_spare() or self._start(reads=True)
        try:
            orders = self._orders(header, code, argv=header.get("argv"))
            return self._followed(process, header, orders, stdin)
        finally:
            process.close()

    def _cell(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Run source in the session's namespace."""
        lost = self._session is not None and not self._session.alive
        if lost:
            self._end_session()
        orders = b""
        if self._session is None:
            self._end_all()
            orders = self._orders(header, session=True)
            self._session = self._start(reads=False)
        process = self._session
        # Nobody can have answered it beforehand.
        header["cell"] = os.urandom(8).hex()
        orders += wire.pack({"cell": header["cell"], "value_bytes": header["output_bytes"]}, body)
        process.forget()
        process.signal(signal.SIGCONT)
        reply, data = self._followed(process, header, orders, b"")
        if reply["exit"] is not None:
            process.close()
            self._session = None
        reply["ended"] = lost or self._session is None
        return reply, data

    def _put(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        self._write(header["path"], body)
        return {}, b""

    def _get(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        with self._as_program():
            return {}, files.read(os.path.join(self.home, header["path"]), header["most"])

    def _write(self, path: str, data: bytes) -> None:
        with self._as_program():
            files.write(os.path.join(self.home, path), data)

    def _renew(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Make a new box of this one: without programs, files, terminals or an environment."""
        # Where there is a spare program, there is no other one.
        spare = self._take_spare()
        if spare is None:
            self._end_all()
        self._spare = spare
        left = self._programs() - (spare is not None)
        if left:
            return {"error": f"{left} processes could not be ended"}, b""
        if not self._drop_sockets():
            return {"error": "there are sockets without a process"}, b""
        self._env = {}
        self._clear()
        self._set_up()
        return {"renewed": header["lease"]}, b""

    def _programs(self) -> int:
        """Return how many programs there are, and how many have ended without being missed."""
        return sum(name.isdigit() for name in os.listdir("/proc")) - self.shown_processes

    def _drop_sockets(self) -> bool:
        """Whether all that programs have opened in this network is gone, once it is looked for."""
        if kernel.tcp_sockets():
            return False  # one waits out its time, with its port
        deadline = time.monotonic() + _GARBAGE_SECONDS
        while kernel.unix_sockets() > self._own_sockets:
            if time.monotonic() >= deadline:
                return False
            # What lies in a socket that lies in itself is nobody's, with whatever lies beside it.
            # The kernel looks for such when a socket is closed.
            for each in socket.socketpair():
                each.close()
            time.sleep(_GARBAGE_ROUND_SECONDS)
        return True

    # Processes.

    def _orders(
        self,
        header: dict[str, Any],
        code: bytes = b"",
        *,
        argv: list[str] | None = None,
        session: bool = False,
    ) -> bytes:
        """Return what tells a program what it is."""
        limits = dict(header["limits"])
        if limits["processes"]:
            limits["processes"] += self.own_processes
        order: dict[str, Any] = {"argv": argv, "session": session, "limits": limits}
        order |= {"env": self._env, "home": self.home}
        return wire.pack(order, code)

    def _start(self, *, reads: bool) -> Process:
        """Start a program; what it is, it is told then.

        Args:
            reads: Whether it has something to read.
        """
        ours: dict[str, int] = {}
        theirs: dict[str, int] = {}
        try:
            for name in ("stdin", "stdout", "stderr", "status", "orders"):
                if name == "stdin" and not reads:
                    ours[name], theirs[name] = -1, os.open("/dev/null", os.O_RDONLY)
                    continue
                read, write = os.pipe()
                fed = name in ("stdin", "orders")
                theirs[name], ours[name] = (read, write) if fed else (write, read)
                os.set_blocking(ours[name], False)
            started = self._launcher.start(list(theirs.values()))
        except BaseException:
            for fd in ours.values():
                if fd >= 0:
                    os.close(fd)
            raise
        finally:
            for fd in theirs.values():
                os.close(fd)
        return Process(started.pid, started.exited, started.signal, **ours)

    def _take_spare(self) -> Process | None:
        """Return the spare program, if it is there and lives."""
        spare, self._spare = self._spare, None
        if spare is None or spare.alive:
            return spare
        spare.close()
        return None

    def _settle(self, exited: int) -> Settled:
        kept = 0 if self._session is None or self._session.pid == exited else self._session.pid
        return self._launcher.settle(exited, kept)

    def _end_session(self) -> None:
        """Take leave of a session that has exited while nobody asked it anything."""
        assert self._session is not None
        self._settle(self._session.pid)
        self._session.close()
        self._session = None

    def _followed(
        self, process: Process, header: dict[str, Any], orders: bytes, stdin: bytes
    ) -> tuple[dict[str, Any], bytes]:
        host = self._connection.fileno()
        try:
            return process.follow(header, orders, stdin, host, self._settle)
        except Exception:
            self._end_all()  # nothing may go on that nobody follows
            raise

    def _end_all(self) -> None:
        """End every program, the session and the spare one too."""
        self._launcher.settle(0, 0)
        for process in (self._session, self._spare):
            if process is not None:
                process.close()
        self._session = self._spare = None

    def _make_spare(self) -> None:
        """Start the program to come: it waits for its orders, and most of what it takes is done.

        No other program is there meanwhile, so that none can reach it.
        """
        if self._spare is None and self._session is None and self._fault is None:
            if self._programs():
                return  # one that could not be ended
            with suppress(OSError):  # whoever needs it hears of it
                self._spare = self._start(reads=True)


def _mount_proc() -> None:
    """Show the processes of the namespace that this one is in, and no more."""
    flags = _FLAGS | kernel.MS_NOEXEC
    kernel.mount("proc", "/proc", "proc", flags)
    kernel.mount("/proc/sys", "/proc/sys", None, kernel.MS_BIND)
    read_only = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY
    kernel.mount(None, "/proc/sys", None, read_only | flags)


def _said(fault: Exception) -> str:
    return (str(fault) or type(fault).__name__).encode("utf-8", "replace").decode()
