"""`Local`: a process of this machine's in a folder of its own, kept apart from nothing.

For code that is trusted, where nothing better runs. It refuses to start unless it is told
`allow_unsafe=True`, and every result says `isolation="none"`. Limits are kept as far as that goes
without isolation: there is none of `processes`, `disk_mb` is that of each file and of each output,
and what a program leaves running in another session outlives it.
"""

import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from agentgym.errors import DataError, UsageError
from agentgym.sandbox import ExecResult, Limit, Sandbox, SandboxSpec

_MIB = 1 << 20
_SOURCE = "main.py"


class Local(Sandbox):
    """A folder on this machine, and processes that run in it.

    Args:
        spec: What they may use; `image`, `modules`, `stateful` and `network` are
            not for it.
        allow_unsafe: Whether code may run as whoever runs this.

    Raises:
        UsageError: If that is not allowed, or the spec asks for more.
    """

    options = ("allow_unsafe",)
    isolation = "none"

    def __init__(self, spec: SandboxSpec, *, allow_unsafe: bool = False) -> None:
        if not allow_unsafe:
            raise UsageError(
                "The local sandbox runs code as you, with your files and your network; use "
                "'bubblewrap' or 'docker', or give allow_unsafe=True if you trust the code"
            )
        for name in ("image", "modules", "stateful"):
            if getattr(spec, name):
                raise UsageError(f"The local sandbox knows no {name}; use 'bubblewrap'")
        if spec.network:
            raise UsageError(
                "The local sandbox keeps code from no host, so it can't keep it to a list; leave "
                "network empty, or use 'bubblewrap' or 'docker'"
            )
        super().__init__(spec)
        self._home = Path(tempfile.mkdtemp(prefix="agentgym-local-"))
        self._closed = False
        self._running: subprocess.Popen[bytes] | None = None
        for path, data in spec.files.items():
            self.put(path, data)

    def _python(
        self, source: str, stdin: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        with tempfile.TemporaryDirectory(prefix="agentgym-local-") as folder:
            file = Path(folder, _SOURCE)
            file.write_text(source, encoding="utf-8", errors="surrogateescape")
            return self._command([sys.executable, "-I", str(file)], stdin, seconds, files_out)

    def _command(
        self, argv: list[str], stdin: bytes, seconds: float, files_out: Sequence[str]
    ) -> ExecResult:
        self._check_open()
        spec, began = self.spec, time.monotonic()
        # Into files, which a limit on their size bounds, whatever is written.
        with (
            tempfile.TemporaryFile() as fed,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            fed.write(stdin)
            fed.seek(0)
            try:
                process = subprocess.Popen(
                    argv,
                    cwd=self._home,
                    env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self._home)}
                    | spec.env,
                    stdin=fed,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
            except (OSError, ValueError) as fault:
                said = getattr(fault, "strerror", None) or fault
                code = 127 if isinstance(fault, FileNotFoundError) else 126
                return ExecResult("", f"{argv[0]}: {said}\n", code, 0.0, isolation=self.isolation)
            self._running = process
            self._restrain(process.pid)
            late = False
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                late = True
            self._running = None
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            outputs = [self._kept(out), self._kept(err)]
        stdout, stderr = (text for text, _ in outputs)
        return ExecResult(
            stdout=stdout,
            stderr=stderr,
            exit_code=process.returncode,
            seconds=time.monotonic() - began,
            limit=_limit(process.returncode, stderr, late=late),
            dropped=(outputs[0][1], outputs[1][1]),
            files=self.wanted(files_out),
            isolation=self.isolation,
        )

    def put(self, path: str, data: bytes | str) -> None:
        """Write a file; see `Sandbox.put`."""
        self._check_open()
        try:
            file = self._home / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data.encode() if isinstance(data, str) else data)
        except (OSError, ValueError) as fault:
            raise DataError(f"{path!r}: {getattr(fault, 'strerror', None) or fault}") from fault

    def get(self, path: str, *, most_bytes: int = 1 << 24) -> bytes:
        """Read a file; see `Sandbox.get`."""
        self._check_open()
        file = self._home / path
        try:
            found = file.is_file()
        except ValueError as fault:
            raise DataError(f"{path!r}: {fault}") from fault
        if not found:
            raise DataError(f"{path}: there is no such file")
        if file.stat().st_size > most_bytes:
            raise DataError(f"{path} has {file.stat().st_size} bytes, more than {most_bytes}")
        return file.read_bytes()

    def close(self) -> None:
        """End what runs and drop the folder; see `Sandbox.close`."""
        if not self._closed:
            self._closed = True
            running = self._running
            if running is not None:
                with suppress(ProcessLookupError):
                    os.killpg(running.pid, signal.SIGKILL)
            shutil.rmtree(self._home, ignore_errors=True)

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("The sandbox is closed; make another one")

    def _restrain(self, pid: int) -> None:
        cpu = math.ceil(self.spec.cpu_seconds)
        for which, soft, hard in (
            (resource.RLIMIT_AS, self.spec.memory_mb * _MIB, self.spec.memory_mb * _MIB),
            (resource.RLIMIT_FSIZE, self.spec.disk_mb * _MIB, self.spec.disk_mb * _MIB),
            (resource.RLIMIT_CPU, cpu, cpu + 1),
            (resource.RLIMIT_CORE, 0, 0),
        ):
            with suppress(ProcessLookupError):
                resource.prlimit(pid, which, (soft, hard))

    def _kept(self, file: IO[bytes]) -> tuple[str, int]:
        """Return what is kept of an output, and how many bytes are not."""
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        data = file.read(self.spec.output_bytes)
        return data.decode("utf-8", "replace"), size - len(data)


def _limit(exit_code: int, stderr: str, *, late: bool) -> Limit | None:
    if late:
        return Limit.WALL
    if exit_code == -signal.SIGXCPU:
        return Limit.CPU
    if exit_code == -signal.SIGXFSZ or "OSError: [Errno 27]" in stderr:
        return Limit.DISK
    return Limit.MEMORY if stderr.rstrip().endswith("MemoryError") else None
