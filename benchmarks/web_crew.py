"""Players of MiniWoB++ in processes, all called at once (`web_players.py`).

Ours are threads of one process, whose environments share a browser. The peers keep one Playwright
or one WebDriver for a process and use it in one thread, so that each of theirs is a process.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from peer_venv import peer_python
from process_tree import cpu_seconds, mib_below

REQUIREMENTS: Mapping[str, Sequence[str]] = {
    "browsergym": ("browsergym-miniwob==0.14.3",),
    "farama": ("miniwob==1.1.0", "selenium==4.51.0"),
}
"""What a peer's environment holds; each brings what it pins."""

_CLOSE_SECONDS = 60.0


class CrewError(Exception):
    """A player failed; the message says how."""


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """An implementation and its options.

    Attributes:
        name: For tables.
        kind: One of `web_players.PLAYERS`.
        options: For the player.
    """

    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def python(self) -> Path:
        """Return the interpreter that has it; a peer's environment is made if need be."""
        if self.kind not in REQUIREMENTS:
            return Path(sys.executable)
        return peer_python(self.kind, REQUIREMENTS[self.kind])


class Process:
    """Players in a process, which ends with all that it started.

    Args:
        way: What they are.
        count: How many.
    """

    def __init__(self, way: Way, count: int) -> None:
        from agentgym.envs.web.miniwob_tasks import folder

        script = Path(__file__).with_name("web_players.py")
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open as long as the process)
        self._process = subprocess.Popen(
            [way.python(), script, way.kind, json.dumps(dict(way.options)), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
            # The pages that ours opens, for BrowserGym; the other one has them in its package.
            env={**os.environ, "MINIWOB_URL": f"{folder().as_uri()}/"},
        )
        self.pid = self._process.pid

    def call(self, name: str, *arguments: Any, seconds: float) -> list[Any]:
        """Return what each player gives to one of `web_players.CALLS`.

        Raises:
            CrewError: If one fails, or takes longer.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        alarm = threading.Timer(seconds, self._kill)
        alarm.start()
        try:
            print(json.dumps([name, *arguments]), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        finally:
            alarm.cancel()
        if not line:
            raise CrewError(f"ended, or gave no answer in {seconds:.0f} s; {self._last_words()}")
        told = json.loads(line)
        if "error" in told:
            raise CrewError(told["error"].splitlines()[0])
        return told["value"]

    def close(self) -> None:
        """Let the players go, and whatever they have left behind."""
        assert self._process.stdin is not None
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.stdin.close()
            self._process.wait(_CLOSE_SECONDS)
        self._kill()
        self._process.wait()
        self._log.close()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = [line for line in self._log if line.strip()]
        return lines[-1].strip() if lines else "it said nothing"


class Crew:
    """Players that are called all at once; a context manager.

    Args:
        way: What they are.
        count: How many.
    """

    def __init__(self, way: Way, count: int) -> None:
        ours = way.kind not in REQUIREMENTS
        self._processes = [Process(way, count)] if ours else [Process(way, 1) for _ in range(count)]
        self._count = count
        self._threads = ThreadPoolExecutor(count)

    def call(self, name: str, *arguments: Any, seconds: float) -> list[Any]:
        """Return what each player gives to the same call.

        Raises:
            CrewError: If one fails.
        """
        calls = [
            self._threads.submit(process.call, name, *arguments, seconds=seconds)
            for process in self._processes
        ]
        return [value for call in calls for value in call.result()]

    def mib_each(self) -> float:
        """Return the MiB that a player's part of the browsers and their drivers takes."""
        return mib_below(process.pid for process in self._processes) / self._count

    def cpu_seconds(self) -> float:
        """Return the CPU time that all of it has taken so far, Python's too."""
        return cpu_seconds(process.pid for process in self._processes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        list(self._threads.map(Process.close, self._processes))
        self._threads.shutdown()
