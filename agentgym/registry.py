"""Names to things: environments in Gymnasium's registry, everything else in entry-point groups.

agentgym's own environments, trainers, tools, sandboxes and policies are found exactly as a third
party's are: through entry points, which name a module without importing it. An environment's entry
point is called by its id, so `import agentgym` registers every installed environment with
Gymnasium, and `agentgym.make(ID)` and `gymnasium.make(ID)` are one thing.
"""

import re
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import Parameter, signature
from typing import Any, cast

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.envs.registration import registry as gymnasium_registry

from agentgym.env import AgentEnv
from agentgym.errors import MissingDependencyError, UnknownNameError, UsageError

ENV_GROUP = "agentgym.envs"
_ID = re.compile(r"[\w.:-]+/[\w.:-]+-v\d+")
_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_ours: set[str] = set()


@dataclass(frozen=True, slots=True)
class Family:
    """Environments that are one class with different arguments.

    An entry point in the group `agentgym.envs` whose name has a "*" names one of these. Unlike a
    class, it is loaded by `import agentgym`, so it lies in a module that imports next to nothing.

    Attributes:
        entry_point: "module:Class", imported at the first `make`.
        members: Arguments of the class, by id.
    """

    entry_point: str
    members: Mapping[str, Mapping[str, Any]]


def register(env_id: str, entry_point: str, **kwargs: Any) -> None:
    """Register an environment, for this process, under an id such as "acme/Garden-v0".

    A package does the same for good with an entry point in the group `agentgym.envs`, named by the
    id. Registering the same thing again does nothing, so that a module may do it when imported.

    Args:
        env_id: Namespace, name and version.
        entry_point: "module:Class", imported at the first `make`.
        **kwargs: Default arguments of the class.

    Raises:
        UsageError: If the id is malformed or taken.
    """
    if not _ID.fullmatch(env_id):
        raise UsageError(f"An id has the form namespace/Name-vN, got {env_id!r}")
    known = gymnasium_registry.get(env_id)
    if known is not None and (known.entry_point, known.kwargs) == (entry_point, kwargs):
        _ours.add(env_id)
        return
    if known is not None:
        raise UsageError(f"{env_id} is registered already; a change in behaviour is a new version")
    # AgentEnv keeps Gymnasium's order rules itself, and tells a model's mistakes from a caller's;
    # the passive checks would hide `tools`, `task` and `instructions` behind a wrapper. `agentgym
    # check` runs the full ones.
    gymnasium.register(
        env_id,
        entry_point=entry_point,
        order_enforce=False,
        disable_env_checker=True,
        kwargs=kwargs,
    )
    _ours.add(env_id)


def register_installed() -> None:
    """Register every environment that an installed package offers. Called by `import agentgym`.

    A package whose id is malformed, or whose family can't be loaded, is passed over with a warning:
    it must not keep everybody else from importing agentgym.
    """
    for point in entry_points(group=ENV_GROUP):
        try:
            family = Family(point.value, {point.name: {}})
            if "*" in point.name:
                family = cast("Family", point.load())
            for env_id, kwargs in family.members.items():
                if env_id not in gymnasium_registry:
                    register(env_id, family.entry_point, **kwargs)
        except (UsageError, ImportError, AttributeError) as fault:
            owner = point.dist.name if point.dist else point.value
            warnings.warn(f"Not registered, from {owner}: {fault}", stacklevel=2)


def list_envs() -> list[str]:
    """Return the ids of all agentgym environments, sorted."""
    return sorted(_ours)


def env_spec(env_id: str) -> EnvSpec:
    """Return Gymnasium's spec of an id.

    Raises:
        UnknownNameError: If there is no such environment.
    """
    if env_id not in gymnasium_registry:
        raise UnknownNameError("environment", env_id, _ours)
    return gymnasium_registry[env_id]


def make(
    env_id: str, *, wrappers: Sequence[Callable[[Any], gymnasium.Env[Any, Any]]] = (), **kwargs: Any
) -> AgentEnv:
    """Make an environment.

    Args:
        env_id: Such as "agentgym/ALFWorld-v0"; `list_envs()` has them all.
        wrappers: Put around it, the first innermost: `partial(TurnLimit, max_turns=20)` and the
            like, which pickle, so that workers in other processes can take them.
        **kwargs: The environment's options; its docs page lists them.

    Raises:
        UnknownNameError: If there is no such environment, or it has no such option.
        UsageError: If an option's value does not suit it.
        MissingDependencyError: If it needs an extra that isn't installed.
    """
    env_spec(env_id)
    try:
        with missing_extras_named():
            env: gymnasium.Env[Any, Any] = gymnasium.make(env_id, **kwargs)
    except TypeError as fault:
        found = _UNEXPECTED.search(str(fault))
        # An argument that nobody gave, or that the class does take, is a bug inside of it.
        if found is None or found[1] not in kwargs or found[1] in (known := _options(env_id)):
            raise
        raise UnknownNameError(f"option of {env_id}", found[1], known) from fault
    for wrapper in wrappers:
        env = wrapper(env)
    return cast("AgentEnv", env)


def _options(env_id: str) -> set[str]:
    """Return what an environment's class takes, and the bases that it passes the rest on to."""
    made_by: Any = gymnasium_registry[env_id].entry_point
    if isinstance(made_by, str):
        made_by = load_env_creator(made_by)
    makers: list[Any] = [made_by]
    if isinstance(made_by, type):
        makers = [vars(base)["__init__"] for base in made_by.__mro__ if "__init__" in vars(base)]
    names: set[str] = set()
    for maker in makers:
        parameters = signature(maker).parameters.values()
        names |= {one.name for one in parameters if one.kind in _BY_NAME}
        if not any(one.kind is Parameter.VAR_KEYWORD for one in parameters):
            break
    return names - {"self"}


class Catalogue:
    """The named implementations of one entry-point group.

    Args:
        kind: What they are, for messages.
        group: The entry-point group.
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind, self.group = kind, group

    def names(self) -> list[str]:
        """Return the installed names, sorted."""
        return sorted(_points(self.group))

    def load(self, name: str) -> Any:
        """Import and return what a name stands for.

        Raises:
            UnknownNameError: If nothing has that name.
            MissingDependencyError: If it needs an extra that isn't installed.
        """
        points = _points(self.group)
        if name not in points:
            raise UnknownNameError(self.kind, name, points)
        with missing_extras_named():
            return points[name].load()


@contextmanager
def missing_extras_named() -> Generator[None]:
    """Say of a package that is missing in the block which extra brings it.

    Raises:
        MissingDependencyError: In the place of Python's own error.
    """
    try:
        yield
    except ModuleNotFoundError as fault:
        missing = (fault.name or "").partition(".")[0]
        if missing not in _EXTRAS:
            raise
        raise MissingDependencyError(missing, _EXTRAS[missing]) from fault


# Which extra brings a package that our own parts import lazily.
_EXTRAS: Mapping[str, str] = {
    "torch": "train",
    "transformers": "train",
    "tokenizers": "train",
    "peft": "train",
    "accelerate": "train",
    "pandas": "data",
    "pyarrow": "data",
    "datasets": "data",
    "matplotlib": "plot",
    "mcp": "mcp",
    "mcp_types": "mcp",
    "fastapi": "serve",
    "starlette": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
    "httpx": "remote",
    "playwright": "web",
    "PIL": "web",
}


@cache
def _points(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


trainers = Catalogue("trainer", "agentgym.trainers")
tools = Catalogue("tool", "agentgym.tools")
sandboxes = Catalogue("sandbox", "agentgym.sandboxes")
policies = Catalogue("policy", "agentgym.policies")
