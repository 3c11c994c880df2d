"""`SandboxServerConfig`: what a sandbox server lends, how much of it, and to how many at a time."""

import json
import os
from typing import Any

from pydantic import Field

from agentgym.config import Config
from agentgym.destinations import Destination, Network, listed, parsed
from agentgym.errors import ConfigError
from agentgym.sandbox import SandboxSpec


class Most(Config):
    """The most that a box may be given; a request for more gets this much."""

    wall_seconds: float = Field(default=60.0, gt=0)
    cpu_seconds: float = Field(default=60.0, gt=0)
    memory_mb: int = Field(default=2048, ge=16)
    processes: int = Field(default=128, ge=1)
    disk_mb: int = Field(default=256, ge=1)
    output_bytes: int = Field(default=1 << 20, ge=0)


class SandboxServerConfig(Config):
    """Settings of a sandbox server."""

    backend: str = Field(default="bubblewrap", description="a sandbox, as `make_sandbox` takes it")
    options: dict[str, Any] = Field(
        default_factory=dict[str, Any], description="the backend's own, such as `python`"
    )
    image: str | None = Field(default=None, description="the one image that boxes have")
    modules: tuple[str, ...] = Field(
        default=(), description="Python modules that every box has imported beforehand"
    )
    network: Network = Field(
        default=(), description="what requests may have boxes reach, as `SandboxSpec.network`"
    )
    most: Most = Most()
    concurrency: int = Field(
        default_factory=lambda: 4 * len(os.sched_getaffinity(0)),
        ge=1,
        description="boxes in which something happens at a time",
    )
    queue: int = Field(
        default=1024, ge=0, description="requests that wait for a turn; more are refused"
    )
    queue_seconds: float = Field(default=30.0, gt=0, description="longest wait for a turn")
    boxes: int = Field(default=256, ge=0, description="boxes that are kept open for clients")
    idle_seconds: float = Field(
        default=600.0, gt=0, description="a box unused for longer is closed"
    )
    request_bytes: int = Field(default=32 << 20, ge=1024, description="of a request's body")
    file_bytes: int = Field(
        default=16 << 20, ge=0, description="of the files in an answer, together"
    )
    transfer_seconds: float = Field(
        default=30.0, gt=0, description="to read a body, or write an answer"
    )
    grace_seconds: float = Field(
        default=5.0, gt=0, description="for what runs, when the server stops"
    )

    def granted(self, spec: SandboxSpec) -> SandboxSpec:
        """Return what a request gets of what it asks for.

        Raises:
            ConfigError: If it names an image, a module or a host that this server doesn't lend.
        """
        if spec.image not in (None, self.image):
            # A path on this machine, or whatever a registry has: not for a client to choose.
            raise ConfigError(f"image: this server lends {self.image or 'its own'} only")
        foreign = [name for name in spec.modules if name not in self.modules]
        if foreign:
            raise ConfigError(
                f"modules: this server has {', '.join(self.modules) or 'none'} imported "
                f"beforehand, and not {', '.join(foreign)}; import them in the code, or start the "
                f"server with modules=[{','.join([*self.modules, *foreign])}]"
            )
        lent = parsed(self.network)
        beyond = [entry for entry in spec.network if not Destination.parse(entry).within(lent)]
        if beyond:
            raise ConfigError(
                f"network: this server lets boxes reach {listed(self.network)}, and not "
                f"{listed(tuple(beyond))}; ask for less, or start the server with "
                f"'network={json.dumps([*self.network, *beyond])}'"
            )
        less = {name: min(getattr(spec, name), most) for name, most in self.most}
        return spec.model_copy(update={**less, "image": self.image, "modules": self.modules})
