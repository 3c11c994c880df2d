"""`Bubblewrap`: boxes on the machine itself, without a daemon.

What each part adds:

| part | keeps a program from |
|---|---|
| an unprivileged user, before there are namespaces | being root to the host's kernel |
| user namespace per box | holding any right outside; counting its processes with others' |
| mount namespace, read-only root, tmpfs of fixed size | others' files; filling the disk |
| PID namespace | seeing or signalling anybody else's process; outliving the box |
| network namespace | every network, the host's loopback and abstract sockets too |
| IPC, UTS and cgroup namespaces | shared memory of others, the host's name, its cgroups |
| no capabilities, no new privileges | mounting, tracing, setuid |
| seccomp | kernel code that a program in a box has no use for |
| rlimits | memory and CPU time of a process, number of processes, size of a file |

What it does not do: `memory_mb` and `cpu_seconds` are of one process, so a box may use as much as
its processes together; the kernel is shared, so a hole in it is a hole in the box.
"""

import math
import os
import socket
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from agentgym.errors import DataError, InfraError, UsageError
from agentgym.sandbox import ExecResult, Limit, Sandbox, SandboxSpec
from agentgym.sandboxes.jail import wire
from agentgym.sandboxes.zygotes import Fork, Recipe, zygote

_GRACE_SECONDS = 5.0
_MIB = 1 << 20
_SIGKILL, _SIGXCPU, _SIGXFSZ = -9, -24, -25
_SAID = {"memory": Limit.MEMORY, "disk": Limit.DISK, "processes": Limit.PROCESSES}


class Bubblewrap(Sandbox):
    """A box of bubblewrap's.

    Args:
        spec: What it may use; `image` is the folder of a root file system.
        python: The interpreter, as the box sees it; the code can use its packages.

    Raises:
        InfraError: If it can't be started.
    """

    options = ("python",)
    isolation = "bubblewrap"

    def __init__(self, spec: SandboxSpec, *, python: str = "/usr/bin/python3") -> None:
        super().__init__(spec)
        image = None if spec.image is None else os.path.abspath(spec.image)
        self._recipe = Recipe(image, python, spec.modules)
        self._fork: Fork | None = None
        self._closed = False
        self._open()

    def _python(
        self, source: str, stdin: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        code = source.encode("utf-8", "surrogateescape")
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

    def close(self) -> None:
        """End the box; see `Sandbox.close`."""
        self._closed = True
        fork, self._fork = self._fork, None
        if fork is not None:
            # Its keeper leaves at once, and all else ends with the keeper. A thread that waits for
            # an answer would go on waiting if the socket were only closed.
            with suppress(OSError):
                fork.connection.shutdown(socket.SHUT_RDWR)
            fork.connection.close()

    def _open(self) -> None:
        spec = self.spec
        contents = {p: d.encode() if isinstance(d, str) else d for p, d in spec.files.items()}
        self._fork = zygote(self._recipe).fork()
        self._data(
            {
                "op": "open",
                "disk_bytes": spec.disk_mb * _MIB,
                "inodes": 1024 + 64 * spec.disk_mb,
                "env": {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **spec.env},
                "files": [[path, len(data)] for path, data in contents.items()],
            },
            b"".join(contents.values()),
        )

    def _exec(
        self, header: dict[str, Any], body: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        spec = self.spec
        # A session's process lives on, so its CPU time is bounded by each cell's wall time only.
        cpu = 0 if header["op"] == "cell" else math.ceil(spec.cpu_seconds)
        limits = {
            "memory": spec.memory_mb * _MIB,
            "processes": spec.processes,
            "file": spec.disk_mb * _MIB,
            "cpu": cpu,
        }
        header |= {"limits": limits, "output_bytes": spec.output_bytes, "wall": seconds}
        reply, data = self._ask(header, body, seconds + _GRACE_SECONDS)
        if "error" in reply:
            raise InfraError(f"The sandbox could not run it: {reply['error']}")
        told = _Told.of(reply["told"])
        split = reply["stdout_bytes"]
        return ExecResult(
            stdout=data[:split].decode("utf-8", "replace"),
            stderr=data[split:].decode("utf-8", "replace"),
            exit_code=told.code if reply["exit"] is None else reply["exit"],
            seconds=reply["seconds"],
            cpu_seconds=reply["cpu"],
            limit=_limit(reply, cpu) or told.limit,
            dropped=(reply["dropped"][0], reply["dropped"][1]),
            value=told.value,
            figures=told.figures,
            files=self.wanted(files_out),
            isolation=self.isolation,
            state_lost=bool(reply.get("ended")),
        )

    def _data(self, header: dict[str, Any], body: bytes) -> bytes:
        reply, data = self._ask(header, body, _GRACE_SECONDS)
        if "error" in reply:
            raise DataError(f"{header.get('path', 'files')}: {reply['error']}")
        return data

    def _ask(
        self, header: dict[str, Any], body: bytes, seconds: float
    ) -> tuple[dict[str, Any], bytes]:
        fork = self._fork
        if self._closed or fork is None:
            raise UsageError("The sandbox is closed; make another one")
        try:
            fork.connection.settimeout(seconds)
            wire.send(fork.connection, header, body)
            answer = wire.receive(fork.connection)
        except OSError as fault:
            self.close()
            fork.zygote.kill(fork)
            raise InfraError(f"The sandbox did not answer within {seconds:g} s") from fault
        if answer is None:
            self.close()
            raise InfraError("The sandbox has died")
        return answer


@dataclass(frozen=True, slots=True)
class _Told:
    """What a program said of itself: hearsay, of which nothing is kept that has another form."""

    code: int = 0
    limit: Limit | None = None
    value: str | None = None
    figures: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "_Told":
        code, limit, value = told.get("code"), told.get("limit"), told.get("value")
        figures: list[bytes] = []
        listed = told.get("figures")
        for figure in cast("list[object]", listed) if isinstance(listed, list) else []:
            with suppress(ValueError):
                figures += [b64decode(figure, validate=True)] if isinstance(figure, str) else []
        return cls(
            code if isinstance(code, int) else 0,
            _SAID.get(limit) if isinstance(limit, str) else None,
            value if isinstance(value, str) else None,
            tuple(figures),
        )


def _limit(reply: Mapping[str, Any], cpu: int) -> Limit | None:
    """Return the limit that the keeper saw ending a program."""
    if reply["late"]:
        return Limit.WALL
    if reply["exit"] == _SIGXCPU or (reply["exit"] == _SIGKILL and 0 < cpu <= reply["cpu"]):
        return Limit.CPU
    return Limit.DISK if reply["exit"] == _SIGXFSZ else None
