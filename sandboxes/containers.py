"""Containers, as the host sees them: what they are made of, and how they begin and end.

A container's main process is its keeper. It comes over the container's stdin, so that an image
needs nothing but Python, and the engine may be on another machine. When the stream ends, as it does
when this process is killed, the keeper exits, and the engine removes the container.
"""

import atexit
import base64
import json
import os
import socket
import threading
import time
import weakref
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from agentgym.errors import AgentGymError, InfraError, UsageError
from agentgym.sandboxes.engine import ENGINE_SECONDS, Streams, address, client, faults
from agentgym.sandboxes.idle import Idle
from agentgym.sandboxes.jail import COMMON, wire
from agentgym.sandboxes.jail.container import CAPABILITIES
from agentgym.sandboxes.jail.network import MEETING
from agentgym.sandboxes.meeting import Meeting
from agentgym.sandboxes.seccomp import seccomp_filter
from agentgym.sandboxes.together import together_bytes

LABEL = "agentgym"
"""On every container of ours, so that what was left behind can be found."""

_PACKAGES = ("agentgym", "agentgym.sandboxes", "agentgym.sandboxes.jail")
_MODULES = (*COMMON, "container")
_START = """
import json, os, sys, types
sent = b""
while not sent.endswith(b"\\n"):
    part = os.read(0, 1 << 16)
    if not part:
        sys.exit()
    sent += part
sent = json.loads(sent)
for name, source in sent["sources"]:
    module = sys.modules[name] = types.ModuleType(name)
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    exec(compile(source, name, "exec"), module.__dict__)
module.main(sent)
"""
_EVENT_SECONDS = 0.5
_GVISOR, _GVISOR_THREADS = "runsc", 128
"""gVisor's kernel runs in the container, with threads that its limit counts."""
_NO_SUCH_FOLDER = "bind source path does not exist"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a container is made of.

    Attributes:
        image: The name of an image.
        python: The interpreter in it.
        modules: Imported beforehand.
        memory_mb: MiB for programs, without what their files take.
        disk_mb: MiB for files.
        processes: Processes and threads at once.
        cpus: Processors' worth of time; None for all.
        runtime: The engine's runtime; None for its default.
        network: Whether this process gets a socket of its loopback.
    """

    image: str
    python: str
    modules: tuple[str, ...]
    memory_mb: int
    disk_mb: int
    processes: int
    cpus: float | None
    runtime: str | None
    network: bool = False


class Container:
    """A running container.

    Args:
        recipe: What it is made of.
        engine: The engine's address; None for what DOCKER_HOST says, or this machine's own.

    Attributes:
        loopback: A socket that listens on its loopback; None if the recipe wants none.

    Raises:
        MissingDependencyError: If the docker package is not installed.
        UsageError: If it is to have a network, and the engine is another machine's.
        InfraError: If it can't be started; the message says why.
    """

    def __init__(self, recipe: Recipe, engine: str | None = None) -> None:
        self.leases = 1
        self.loopback: socket.socket | None = None
        self._kind = recipe, address(engine)
        self._client = client(engine)
        self._owner = os.getpid()
        self._id: str | None = None
        try:
            with Meeting() if recipe.network else nullcontext() as meeting:
                self._start(recipe, meeting)
        except faults() as fault:
            self.end()
            raise _failure(fault, recipe) from fault
        except BaseException:
            self.end()
            raise

    def _start(self, recipe: Recipe, meeting: Meeting | None) -> None:
        folder = None if meeting is None else meeting.folder
        self._id = str(self._client.containers.create(**_arguments(recipe, folder)).id)
        _running.add(self)
        # What an image has as volumes is outside of what is emptied.
        self._volumes = bool(self._client.api.inspect_container(self._id)["Mounts"])
        self.connection = Streams(self._client.api, self._id)
        self._client.api.start(self._id)
        self._deliver(recipe)
        if meeting is not None:
            self.loopback = meeting.loopback()

    def _deliver(self, recipe: Recipe) -> None:
        self.connection.settimeout(ENGINE_SECONDS)
        self.connection.sendall(_delivery(recipe))
        ready = wire.receive(self.connection)
        if ready is None:
            said = self.connection.said or "it exited at once"
            raise InfraError(f"The sandbox's container can't run its keeper: {said}")
        if ready[0]["missing"]:
            missing = " ".join(ready[0]["missing"])
            raise InfraError(f"The image {recipe.image} can't import {missing}; install it there")
        if ready[0]["cut_off"]:
            raise InfraError(
                f"The sandbox's keeper can't come to the host: {ready[0]['cut_off']}; a network "
                "takes an engine on this machine, and a runtime that shares its kernel, as runsc "
                "doesn't"
            )

    def ran_out_of_memory(self, since: float) -> bool:
        """Whether the kernel has ended a process of it for want of memory since then (a time)."""
        if self._id is None:
            return False
        # The engine hears of it when the process is dead already.
        when = {"since": since, "until": time.time() + _EVENT_SECONDS}
        wanted = {"container": self._id, "event": "oom"}
        with suppress(*faults()):
            events = self._client.api.events(filters=wanted, decode=True, **when)
            for _ in events:
                events.close()
                return True
        return False

    @property
    def ended(self) -> bool:
        """Whether it was ended."""
        return self._id is None

    @property
    def is_ours(self) -> bool:
        """Whether it is this process's, and not one's that this is a fork of."""
        return self._owner == os.getpid()

    def hang_up(self) -> None:
        """Leave it to itself: its keeper exits, and the engine removes it."""
        if hasattr(self, "connection"):
            self.connection.shut()

    def put_by(self, most: int) -> bool:
        """Have it emptied for the next box like it; see `Idle.put`."""
        return self._id is not None and not self._volumes and _idle_of(self._kind).put(self, most)

    def end(self) -> None:
        """End and remove it, when nobody waits for its answer; may be called more than once."""
        name, self._id = self._id, None
        if name is None or not self.is_ours:
            return
        _running.discard(self)
        if hasattr(self, "connection"):
            self.connection.close()
        # It may be gone by itself, or on its way; an engine that is gone has ended it, or will.
        with suppress(*faults()):
            self._client.api.remove_container(name, v=True, force=True)
            return
        with suppress(*faults()):
            self._client.api.wait(name, timeout=ENGINE_SECONDS, condition="removed")


_Kind = tuple[Recipe, str | None]
_running: "weakref.WeakSet[Container]" = weakref.WeakSet()
_idle: dict[_Kind, Idle[Container]] = {}
_idle_lock = threading.Lock()


def container(recipe: Recipe, engine: str | None = None) -> Container:
    """Return a container: one that was emptied, or a new one.

    Args:
        recipe: What it is made of.
        engine: The engine's address; None for what DOCKER_HOST says, or this machine's own.

    Raises:
        MissingDependencyError: If the docker package is not installed.
        UsageError: If it is to have a network, and the engine is another machine's.
        InfraError: If it can't be started; the message says why.
    """
    return _idle_of((recipe, address(engine))).take(patient=True) or Container(recipe, engine)


def _idle_of(kind: _Kind) -> Idle[Container]:
    with _idle_lock:
        return _idle.setdefault(kind, Idle())


@atexit.register
def close_all() -> None:
    """Remove every container that this process started."""
    left = [each for each in _running if each.is_ours]
    # Each takes a moment, so that they had better do it together.
    for each in left:
        each.hang_up()
    for each in left:
        each.end()


def _forget() -> None:
    """Let a fork of us start afresh: containers are ours, and end with us."""
    global _idle_lock
    _idle_lock = threading.Lock()
    _idle.clear()


os.register_at_fork(after_in_child=_forget)


def _arguments(recipe: Recipe, meeting: str | None) -> dict[str, Any]:
    from docker.types import LogConfig, Mount

    memory = together_bytes(recipe.memory_mb, recipe.disk_mb)
    size = f"size={recipe.disk_mb}m,nr_inodes={1024 + 64 * recipe.disk_mb}"
    return {
        "image": recipe.image,
        "entrypoint": [recipe.python, "-I", "-B", "-c", _START],
        "command": [],
        "labels": {LABEL: "sandbox", f"{LABEL}.pid": str(os.getpid())},
        "user": "0",
        "working_dir": "/",
        "hostname": "sandbox",
        "environment": {"OPENBLAS_NUM_THREADS": "1"},
        "stdin_open": True,
        "auto_remove": True,
        "network_mode": "none",
        "dns": ["127.0.0.1"],  # or the container is told which servers the host asks
        "ipc_mode": "none",
        "read_only": True,
        "tmpfs": {
            "/tmp": f"rw,exec,nosuid,nodev,mode=1777,{size}",
            "/sys": "ro,noexec,nosuid,nodev,mode=755,size=64k",
        },
        "mounts": [] if meeting is None else [Mount(MEETING, meeting, "bind", read_only=True)],
        "cap_drop": ["ALL"],
        "cap_add": list(CAPABILITIES),
        "security_opt": ["no-new-privileges"],
        # And the keeper and its launcher, and what the runtime runs in there itself.
        "pids_limit": recipe.processes + 2 + _GVISOR_THREADS * (recipe.runtime == _GVISOR),
        "mem_limit": memory,
        "memswap_limit": memory,
        "nano_cpus": None if recipe.cpus is None else int(recipe.cpus * 1e9),
        "runtime": recipe.runtime,
        "healthcheck": {"test": ["NONE"]},
        "log_config": LogConfig(type="none"),  # or the engine keeps all that passes on its disk
    }


def _delivery(recipe: Recipe) -> bytes:
    """Return the keeper's modules and options, as a line that `_START` reads."""
    jail = files("agentgym.sandboxes") / "jail"
    sources = [[name, ""] for name in _PACKAGES]
    sources += [[f"{_PACKAGES[-1]}.{name}", (jail / f"{name}.py").read_text()] for name in _MODULES]
    seccomp = base64.b64encode(seccomp_filter()).decode()
    options = {"sources": sources, "seccomp": seccomp}
    options |= {"modules": recipe.modules, "network": recipe.network}
    return json.dumps(options).encode() + b"\n"


def _failure(fault: Exception, recipe: Recipe) -> AgentGymError:
    from docker.errors import APIError, ImageNotFound

    if isinstance(fault, ImageNotFound):
        return InfraError(
            f"The Docker Engine has no image {recipe.image}; build it as docs/sandboxes.md says, "
            f"or get it: docker pull {recipe.image}"
        )
    if recipe.network and isinstance(fault, APIError) and _NO_SUCH_FOLDER in str(fault.explanation):
        return UsageError(
            "The Docker Engine does not see this machine's temporary folder, where a box with a "
            "network meets it; use an engine on this machine, or leave network empty"
        )
    if isinstance(fault, APIError):
        return InfraError(f"The sandbox's container can't be started: {fault.explanation}")
    return InfraError(f"The Docker Engine does not answer: {fault}")
