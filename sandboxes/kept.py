"""`Kept`: what the backends share whose boxes have a keeper (`jail/keeper.py`) inside.

They differ in how a box comes about and how it ends; how the keeper is asked, and what its answers
mean, is here.
"""

import math
import os
import socket
import threading
import weakref
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentgym.errors import DataError, InfraError, UsageError
from agentgym.sandbox import ExecResult, Limit, Sandbox, SandboxSpec
from agentgym.sandboxes.jail import wire
from agentgym.sandboxes.proxy import Proxy, variables

MIB = 1 << 20
KEPT = 16
"""How many closed boxes of one kind are kept, if nobody says otherwise."""

_GRACE_SECONDS = 5.0
_CPU_SLACK_SECONDS = 0.5
"""How far the clock by which the kernel ends a program, which ticks, may be ahead of the one by
which it says afterwards how long that took; a busy machine makes it more."""
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
_SIGKILL, _SIGXCPU, _SIGXFSZ = -9, -24, -25
_SAID = {"memory": Limit.MEMORY, "disk": Limit.DISK, "processes": Limit.PROCESSES}


class Kept(Sandbox):
    """A box with a keeper.

    Args:
        spec: What it may use.
        keep: How many closed boxes like it are emptied and kept for the next ones.

    Raises:
        UsageError: If that is less than none.
    """

    isolation: str

    def __init__(self, spec: SandboxSpec, keep: int) -> None:
        super().__init__(spec)
        if keep < 0:
            raise UsageError(f"keep is 0 or more; got {keep}")
        self._keep = keep
        self._lock = threading.RLock()
        self._owner = os.getpid()
        self._closed = False
        self._asking = False
        self._proxy: Proxy | None = None

    @property
    @abstractmethod
    def _connection(self) -> wire.Connection | None:
        """Where the keeper is asked; None where there is none any more."""

    @abstractmethod
    def _drop(self) -> None:
        """Let go of the box, whoever wants it; may be called more than once."""

    @abstractmethod
    def _give_up(self) -> None:
        """End a box whose keeper doesn't answer, by force."""

    @abstractmethod
    def _put_by(self, most: int) -> bool:
        """Have the box emptied for whoever needs one like it next; False if it has to be ended."""

    def close(self) -> None:
        """Empty the box for the next one, or end it; see `Sandbox.close`."""
        was_closed, self._closed = self._closed, True
        if was_closed or self._owner != os.getpid():
            return
        # What is under way ends with the box, this thread's too, which a signal may have come to.
        if self._lock.acquire(blocking=False):
            try:
                # With a proxy, the next one would find a port of its loopback taken.
                free = not self._asking and self._proxy is None
                kept = free and self._put_by(self._keep)
            except BaseException:
                self._drop()
                raise
            finally:
                self._lock.release()
            if kept:
                return
        self._drop()

    def _death(self) -> InfraError:
        """Return what is known about why the box is dead."""
        return InfraError("The sandbox has died")

    def _let_out(self, loopback: socket.socket) -> None:
        """Have programs reach what the spec lists, and nothing else.

        Args:
            loopback: A socket that listens on the box's own.
        """
        self._proxy = Proxy(loopback, self.spec.network)
        weakref.finalize(self, self._proxy.close)  # for a box that nobody closes

    def _shut_in(self) -> None:
        """End what passes between programs and others."""
        if self._proxy is not None:
            self._proxy.close()

    def _open(self, **more: Any) -> None:
        """Have the keeper set the box up.

        Args:
            **more: What else it has to know.
        """
        spec = self.spec
        told = variables(spec.network) if spec.network else {}
        contents = {p: d.encode() if isinstance(d, str) else d for p, d in spec.files.items()}
        self._data(
            {
                "op": "open",
                "env": {**_ENVIRONMENT, **told, **spec.env},
                "files": [[path, len(data)] for path, data in contents.items()],
                **more,
            },
            b"".join(contents.values()),
        )

    def _python(
        self, source: str, stdin: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        code = source.encode()
        if self.spec.stateful:
            if stdin:
                raise UsageError("A stateful box runs cells, which read no stdin; leave it empty")
            return self._exec({"op": "cell"}, code, seconds, files_out)
        return self._exec({"op": "exec", "code_bytes": len(code)}, code + stdin, seconds, files_out)

    def _command(
        self, argv: list[str], stdin: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        if not argv:
            raise UsageError("A command has at least a name")
        return self._exec({"op": "exec", "argv": argv, "code_bytes": 0}, stdin, seconds, files_out)

    def put(self, path: str, data: bytes | str) -> None:
        """Write a file; see `Sandbox.put`."""
        content = data.encode() if isinstance(data, str) else data
        self._data({"op": "put", "path": path}, content)

    def get(self, path: str, *, most_bytes: int = 1 << 24) -> bytes:
        """Read a file; see `Sandbox.get`."""
        return self._data({"op": "get", "path": path, "most": most_bytes}, b"")

    def _limits(self, cpu: int) -> dict[str, int]:
        """Return the limits of a process; 0 where there is none."""
        spec = self.spec
        return {
            "memory": spec.memory_mb * MIB,
            "processes": spec.processes,
            "file": spec.disk_mb * MIB,
            "cpu": cpu,
        }

    def _exec(
        self, header: dict[str, Any], body: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        # A session's process lives on, so its CPU time is bounded by each cell's wall time only.
        cpu = 0 if header["op"] == "cell" else math.ceil(self.spec.cpu_seconds)
        output_bytes = self.spec.output_bytes
        header |= {"limits": self._limits(cpu), "output_bytes": output_bytes, "wall": seconds}
        self._check_owner()
        with self._lock:  # the files are of this run and not of the next
            reply, data = self._ask(header, body, seconds + _GRACE_SECONDS)
            if "error" in reply:
                raise InfraError(f"The sandbox could not run it: {reply['error']}")
            wanted = self.wanted(files_out)
        out, err = reply["sizes"]
        told = _Told.of(reply["told"], data[out + err :])
        return ExecResult(
            stdout=data[:out].decode("utf-8", "replace"),
            stderr=data[out : out + err].decode("utf-8", "replace"),
            exit_code=told.code if reply["exit"] is None else reply["exit"],
            seconds=reply["seconds"],
            cpu_seconds=reply["cpu"],
            limit=_limit(reply, cpu) or told.limit,
            dropped=(reply["dropped"][0], reply["dropped"][1]),
            value=told.value,
            figures=told.figures,
            files=wanted,
            isolation=self.isolation,
            state_lost=bool(reply.get("ended")),
        )

    def _data(self, header: dict[str, Any], body: bytes) -> bytes:
        reply, data = self._ask(header, body, _GRACE_SECONDS)
        if "broken" in reply:
            self._drop()
            raise InfraError(f"The sandbox can't be set up: {reply['error']}")
        if "error" in reply:
            said = f"{header.get('path', 'files')}: {reply['error']}"
            raise DataError(said.encode("utf-8", "replace").decode())
        return data

    def _ask(
        self, header: dict[str, Any], body: bytes, seconds: float
    ) -> tuple[dict[str, Any], bytes]:
        self._check_owner()
        with self._lock:
            connection = self._connection
            if self._closed or connection is None:
                raise UsageError("The sandbox is closed; make another one")
            self._asking = True
            try:
                connection.settimeout(seconds)
                wire.send(connection, header, body)
                answer = wire.receive(connection)
            except TimeoutError as fault:
                self._give_up()
                raise InfraError(f"The sandbox did not answer within {seconds:g} s") from fault
            except OSError:
                answer = None
            except BaseException:
                self._give_up()  # or the next to ask would get this answer
                raise
            finally:
                self._asking = False
            if answer is None and self._closed:
                raise UsageError("The sandbox was closed while it was at work")
            if answer is None:
                death = self._death()
                self._drop()
                raise death
            return answer

    def _check_owner(self) -> None:
        # A fork has only a copy of the lock, and whoever held it is not there to let go of it.
        if self._owner != os.getpid():
            raise UsageError("The sandbox is of the process that made it; make another one here")


@dataclass(frozen=True, slots=True)
class _Told:
    """What a program said of itself: hearsay, of which the keeper keeps what has the right form."""

    code: int
    limit: Limit | None
    value: str | None
    figures: tuple[bytes, ...]

    @classmethod
    def of(cls, told: Mapping[str, Any], body: bytes) -> "_Told":
        value, at = told.get("value"), told.get("value") or 0
        shown = None if value is None else body[:at].decode("utf-8", "replace")
        if shown is not None and told["cut"]:
            shown += f"… ({told['cut']} bytes more)"
        figures: list[bytes] = []
        for size in told.get("figures", ()):
            figures.append(body[at : at + size])
            at += size
        limit = _SAID.get(told.get("limit", ""))
        return cls(told.get("code", 0), limit, shown, tuple(figures))


def _limit(reply: Mapping[str, Any], cpu: int) -> Limit | None:
    """Return the limit that the keeper saw ending a program."""
    if reply["late"]:
        return Limit.WALL
    # A program may send itself the signal.
    if reply["exit"] in (_SIGXCPU, _SIGKILL) and 0 < cpu <= reply["cpu"] + _CPU_SLACK_SECONDS:
        return Limit.CPU
    return Limit.DISK if reply["exit"] == _SIGXFSZ else None
