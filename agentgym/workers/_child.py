"""What a worker process does: make the environment it is told to, and answer calls until the end.

The first message says where the program is (its import path, directory and variables, as they are
now and not as they were when the fork server started) and which environment to make; every later
one is a call. The process leads a session of its own, so that Ctrl-C in a terminal reaches the
program alone, and so that whatever the environment starts can be killed with it.
"""

import os
import pickle
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.envs.registration import registry as gymnasium_registry

from agentgym.errors import AgentGymError, EnvError, EpisodeStateError, InfraError, UsageError
from agentgym.workers._local import LocalHost
from agentgym.workers._wire import Wire


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker process is told first.

    Attributes:
        path: The program's import path.
        directory: Its working directory.
        variables: Its environment variables.
        environment: Pickled (source, keyword arguments, Gymnasium's spec where source is an id).
    """

    path: list[str]
    directory: str
    variables: dict[str, str]
    environment: bytes


def run(connection: socket.socket) -> NoReturn:
    """Serve the connection and exit."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        wire = Wire(connection)
        # The program may be gone before it said anything.
        with suppress(EOFError, OSError):
            _serve(wire, wire.receive())
        code = 0
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        # Not sys.exit: what the fork server would do at its exit is not ours to do.
        os._exit(code)


def _serve(wire: Wire, orders: Orders) -> None:
    host: LocalHost | None = None
    problem: AgentGymError | None = None
    try:
        host = _obey(orders)
    except Exception as fault:
        problem = UsageError(
            f"A worker process can't make the environment ({type(fault).__name__}: {fault}); "
            "define it in a module that can be imported, or register it by name."
        )
    try:
        while True:
            name, arguments = wire.receive()
            if host is None:
                wire.send(problem)
                continue
            try:
                answer: Any = getattr(host, name)(*arguments)
            except BaseException as fault:
                answer = portable(fault)
            try:
                wire.send(answer)
            except (EOFError, OSError):
                raise
            except Exception as fault:
                wire.send(EnvError(f"What {name} gave can't be sent to another process: {fault}"))
            if name == "close":
                return
    finally:
        if host is not None:
            with suppress(Exception):
                host.close()


def _obey(orders: Orders) -> LocalHost:
    sys.path[:] = orders.path
    os.environ.clear()
    os.environ.update(orders.variables)
    with suppress(OSError):
        os.chdir(orders.directory)
    spec: EnvSpec | None
    source, kwargs, spec = pickle.loads(orders.environment)
    if spec is not None and spec.id not in gymnasium_registry:
        # A module that defines an environment often registers it, too, when it is imported.
        if isinstance(spec.entry_point, str):
            load_env_creator(spec.entry_point)
        gymnasium_registry.setdefault(spec.id, spec)
    return LocalHost(source, kwargs)


def portable(fault: BaseException) -> BaseException:
    """Return the error if it survives pickling, else the nearest of ours with its message."""
    with suppress(Exception):
        if str(pickle.loads(pickle.dumps(fault))) == str(fault):
            return fault
    for kind in (EpisodeStateError, UsageError, InfraError):
        if isinstance(fault, kind):
            return kind(str(fault))
    return EnvError(str(fault))
