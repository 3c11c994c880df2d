"""Workers whose environment lives in a process of its own.

For environments that burn CPU, leak, or can bring a process down. The process is forked from a
small server (see `_zygote`), so starting one takes milliseconds; calls travel as pickles over a
socket. The death of the process is noticed at once and becomes an `InfraError` that says how it
died and what it was doing; a process that hangs is killed with everything it started.
"""

import os
import pickle
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from agentgym import registry
from agentgym.env import WorkerKind
from agentgym.errors import AgentGymError, EnvError, InfraError, UsageError
from agentgym.workers._child import Orders
from agentgym.workers._local import label
from agentgym.workers._wire import Wire
from agentgym.workers._zygote import ForkServer
from agentgym.workers.base import EnvSource, Host, Reset, Step, Worker

_server = ForkServer()


class ProcessHost(Host):
    """An environment in a process of its own, which starts with the first call.

    Args:
        source: The environment's id, or what makes one.
        kwargs: Arguments for making it.

    Raises:
        UsageError: If these can't be sent to another process.
    """

    def __init__(self, source: EnvSource, kwargs: dict[str, Any]) -> None:
        self._label = label(source)
        if getattr(source, "__module__", None) == "__main__":
            raise UsageError(
                f"{self._label} is defined in the program that runs, which a worker process can't "
                "import: move it to a module, or use a thread worker."
            )
        spec = registry.env_spec(source) if isinstance(source, str) else None
        try:
            self._environment = pickle.dumps((source, kwargs, spec))
        except Exception as fault:
            raise UsageError(
                f"{self._label} can't live in a worker process, since its arguments can't be "
                f"pickled: {fault}. Pass plain values, or use a thread worker."
            ) from fault
        self._wire: Wire | None = None
        self._poll: select.poll | None = None
        self._pid: int | None = None
        self._pidfd = -1
        self._killed = False
        self._last = "start"

    @property
    def pid(self) -> int | None:
        """The process's id while there is one."""
        return self._pid

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> Reset:
        """Start the process if there is none, and an episode."""
        return self._ask("reset", seed, options)

    def step(self, action: str) -> Step:
        """Take a turn."""
        return self._ask("step", action)

    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """Return an attribute of the environment, called if it is a method."""
        return self._ask("call", name, arguments)

    def close(self) -> None:
        """Close the environment and end the process."""
        if self._pid is None:
            return
        try:
            if not self._killed:
                self._ask("close")
        finally:
            self._bury()

    def kill(self) -> None:
        """Kill the process and everything in its session."""
        self._killed = True
        pid = self._pid
        if pid is not None:
            # Before the process leads its group, right after the fork, there is no such group.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def _ask(self, name: str, *arguments: Any) -> Any:
        if self._wire is None:
            self._start()
        assert self._wire is not None
        doing, self._last = f"{name} (after {self._last})", name
        try:
            self._wire.send((name, arguments))
            self._await()
            answer = self._wire.receive()
        except (EOFError, OSError) as fault:
            pid = self._pid
            raise InfraError(
                f"{self._label}: its process {pid} {self._bury()} during {doing}."
            ) from fault
        except Exception as fault:
            raise EnvError(
                f"{self._label}: what {name} takes or gives can't be sent between processes "
                f"({type(fault).__name__}: {fault})."
            ) from fault
        if isinstance(answer, AgentGymError):
            raise answer
        return answer

    def _start(self) -> None:
        if self._killed:
            raise InfraError(f"{self._label}: its worker was killed before its process started.")
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                pid = _server.fork(theirs)
        except OSError as fault:
            ours.close()
            raise InfraError(f"{self._label}: no process could be started: {fault}") from fault
        self._wire = Wire(ours)
        self._pidfd = os.pidfd_open(pid)
        self._pid = pid
        self._poll = select.poll()
        self._poll.register(ours, select.POLLIN)
        self._poll.register(self._pidfd, select.POLLIN)
        if self._killed:
            self.kill()
        orders = Orders(list(sys.path), os.getcwd(), dict(os.environ), self._environment)
        # A process that died already is noticed by the call that follows.
        with suppress(OSError):
            self._wire.send(orders)

    def _await(self) -> None:
        # What the process started may hold the socket open after its death, so watch the process.
        assert self._poll is not None
        ready = self._poll.poll()
        if all(fd == self._pidfd for fd, _ in ready):
            raise EOFError

    def _bury(self) -> str:
        pid, self._pid = self._pid, None
        if pid is None or self._wire is None:
            return "ended"
        self._wire.close()
        self._wire = None
        os.close(self._pidfd)
        # Not reaped yet, so the id can be nobody else's.
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        code = _server.exit_code(pid)
        if code is None:
            return "ended"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name} (exit code {code})"
        return f"ended with exit code {code}"


def process_worker(source: EnvSource, kwargs: dict[str, Any]) -> Worker:
    """Return a worker with a process of its own.

    Args:
        source: The environment's id, or what makes one.
        kwargs: Arguments for making it.

    Raises:
        UsageError: If these can't be sent to another process.
    """
    return Worker(WorkerKind.PROCESS, label(source), ProcessHost(source, kwargs))
