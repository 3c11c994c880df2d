"""`LocalHost`: an environment in this process, its failures told apart as the error tree does."""

import time
import traceback
from dataclasses import replace
from typing import Any

import gymnasium

from agentgym import registry
from agentgym.actions import ToolCallFormat
from agentgym.errors import AgentGymError, EnvError
from agentgym.task import Task
from agentgym.workers.base import Briefing, EnvSource, Host, Reset, Step


class LocalHost(Host):
    """An environment in this process.

    Args:
        source: The environment's id, or what makes one.
        kwargs: Arguments for making it.
    """

    def __init__(self, source: EnvSource, kwargs: dict[str, Any]) -> None:
        self._source, self._kwargs = source, kwargs
        self._env: gymnasium.Env[Any, Any] | None = None

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> Reset:
        """Make the environment if there is none, and start an episode."""
        began = time.perf_counter()
        try:
            env = self._env or self._make()
            observation, info = env.reset(seed=seed, options=options)
            briefing = _briefing(env)
        except AgentGymError:
            raise
        except BaseException as fault:
            raise self._bug("reset", fault) from fault
        return Reset(observation, info, briefing, time.perf_counter() - began)

    def step(self, action: str) -> Step:
        """Take a turn."""
        began = time.perf_counter()
        try:
            env = self._env or self._make()
            observation, reward, terminated, truncated, info = env.step(action)
            calls = getattr(env.unwrapped, "calls", ())
            seconds = time.perf_counter() - began
            ended = bool(terminated), bool(truncated)
            return Step(observation, float(reward), *ended, info, calls, seconds)
        except AgentGymError:
            raise
        except BaseException as fault:
            raise self._bug("step", fault) from fault

    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """Return an attribute of the environment, called if it is a method."""
        try:
            value = (self._env or self._make()).get_wrapper_attr(name)
            return value(*arguments) if callable(value) else value
        except AgentGymError:
            raise
        except BaseException as fault:
            raise self._bug(name, fault) from fault

    def close(self) -> None:
        """Close the environment; the next reset makes a new one."""
        env, self._env = self._env, None
        if env is None:
            return
        try:
            env.close()
        except AgentGymError:
            raise
        except BaseException as fault:
            raise self._bug("close", fault) from fault

    def kill(self) -> None:
        """Do nothing: a thread can't be stopped from outside; a call that hangs is left behind."""

    def _make(self) -> gymnasium.Env[Any, Any]:
        make, kwargs = self._source, self._kwargs
        self._env = registry.make(make, **kwargs) if isinstance(make, str) else make(**kwargs)
        return self._env

    def _bug(self, stage: str, fault: BaseException) -> EnvError:
        frames = traceback.extract_tb(fault.__traceback__)[-3:]
        what = "".join(traceback.format_exception_only(fault)).strip()
        where = "".join(f"\n  {frame.filename}:{frame.lineno}: {frame.line}" for frame in frames)
        return EnvError(f"{label(self._source)} raised in {stage}: {what}{where}")


def label(source: EnvSource) -> str:
    """Return what an environment is called in messages."""
    return source if isinstance(source, str) else getattr(source, "__qualname__", repr(source))


def _briefing(env: gymnasium.Env[Any, Any]) -> Briefing:
    # A foreign environment has none of these.
    task: Task | None = _attribute(env, "task", None)
    tools = tuple(_attribute(env, "tools", ()))
    action_format = _attribute(env, "action_format", None)
    return Briefing(
        instructions=_attribute(env, "instructions", ""),
        tools=tools,
        shown_tools=tools if isinstance(action_format, ToolCallFormat) else (),
        # A foreign one may call anything by that name.
        action_format=action_format if hasattr(action_format, "render") else None,
        stop=tuple(getattr(action_format, "stop", ())),
        task=None if task is None else replace(task, data={}),
        data_version=_attribute(env, "data_version", None),
    )


def _attribute(env: gymnasium.Env[Any, Any], name: str, default: Any) -> Any:
    try:
        return env.get_wrapper_attr(name)
    except AttributeError:
        return default
