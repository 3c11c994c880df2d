"""Rules about what an environment is, before anything happens in it."""

import json
import pickle
import warnings
from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
from gymnasium.utils.env_checker import check_env

from agentgym.conformance.subject import BrokenRuleError, Subject, begin, demand, take
from agentgym.env import AgentEnv
from agentgym.spaces import Unicode


def gymnasium_checker(subject: Subject) -> str:
    """Gymnasium's own checker has nothing to say against it."""
    with subject.opened() as env, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of is advice, some of it about any wrapper
        try:
            check_env(env)
        except Exception as fault:
            raise BrokenRuleError(f"gymnasium.utils.env_checker.check_env: {fault}") from fault
    return "check_env has no objection"


def spaces(subject: Subject) -> str:
    """Actions are texts of any kind; observations have a text, and an image if they are visual."""
    with subject.opened() as env:
        demand(
            isinstance(env.unwrapped, AgentEnv),
            f"{type(env.unwrapped).__name__} is no AgentEnv; derive it from agentgym.AgentEnv.",
        )
        demand(isinstance(env.action_space, Unicode), f"The action space is {env.action_space}.")
        space: Any = env.observation_space
        parts = set(getattr(space, "spaces", {}))
        demand(
            "text" in parts and parts <= {"text", "image"},
            f"The observation space has {sorted(parts)}; it has 'text', and 'image' if visual.",
        )
        begin(env)
        seen = take(env, env.action_space.sample(), "a sample of the action space")
        demand(
            set(seen.observation) == parts,
            f"The observation has {sorted(seen.observation)}, its space {sorted(parts)}.",
        )
    return f"observations have {' and '.join(sorted(parts, reverse=True))}"


def tools(subject: Subject) -> str:
    """Tools have names of their own and schemas that are schemas; the prompt is a text."""
    with subject.opened() as env:
        names = [tool.name for tool in env.tools]
        demand(bool(names), "There are no tools, so no action means anything.")
        demand(len(set(names)) == len(names), f"Tools share a name: {names}.")
        for tool in env.tools:
            try:
                jsonschema.Draft202012Validator.check_schema(dict(tool.parameters))
                json.dumps(tool.openai())
            except (jsonschema.SchemaError, TypeError, ValueError) as fault:
                raise BrokenRuleError(
                    f"The parameters of {tool.name} are no JSON schema: {fault}"
                ) from fault
        demand(
            isinstance(env.instructions, str),  # pyright: ignore[reportUnnecessaryIsInstance] (that is what is checked)
            f"instructions is a {type(env.instructions).__name__}; it is a str.",
        )
    return f"tools: {', '.join(names)}"


def rebuilt_from_spec(subject: Subject) -> str:
    """`env.spec` makes the same environment again, wrappers and all."""
    with subject.opened() as env:
        spec = env.spec
        demand(spec is not None, "env.spec is None; make it through agentgym.make.")
        assert spec is not None
        first = begin(env).observation["text"]
        twin: Any = spec.make()
        try:
            demand(str(twin) == str(env), f"env.spec makes {twin}, which is not {env}.")
            again = begin(twin).observation["text"]
        finally:
            twin.close()
        demand(again == first, "What env.spec makes begins another episode with the same seed.")
    return "env.spec makes it again"


def travels(subject: Subject) -> str:
    """What a worker sends (observations, infos, tools, the task) survives pickling."""
    with subject.opened() as env:
        seen = begin(env)
        later = take(env, "hello")
        for name, thing in (
            ("the first observation", seen.observation),
            ("the first info", seen.info),
            ("an observation", later.observation),
            ("an info", later.info),
            ("tools", env.tools),
            ("the task (without its data)", replace(env.task, data={})),
        ):
            try:
                pickle.loads(pickle.dumps(thing, protocol=5))
            except Exception as fault:
                raise BrokenRuleError(
                    f"{name} can't be sent to another process: {fault}"
                ) from fault
    return "observations, infos, tools and task pickle"


def render(subject: Subject) -> str:
    """Every declared render mode renders: a text for "ansi", a picture for "rgb_array"."""
    with subject.opened() as env:
        modes: list[str] = list(env.metadata.get("render_modes", []))
    demand("ansi" in modes, f"The render modes are {modes}; every environment has 'ansi'.")
    for mode in modes:
        with subject.opened(render_mode=mode) as env:
            begin(env)
            _rendered(env.render(), mode, "after reset()")
            take(env, "hello")
            _rendered(env.render(), mode, "after step()")
    with subject.opened(render_mode=None) as env:
        begin(env)
        demand(env.render() is None, "render() returns something although render_mode is None.")
    return f"renders {', '.join(modes)}"


def _rendered(frame: Any, mode: str, when: str) -> None:
    if mode == "ansi":
        demand(isinstance(frame, str), f"render() {when} in mode 'ansi' gave {frame!r:.80}.")
    elif mode == "rgb_array":
        right = (
            isinstance(frame, np.ndarray)
            and frame.dtype == np.uint8
            and frame.ndim == 3
            and frame.shape[2] == 3
        )
        demand(
            right,
            f"render() {when} in mode 'rgb_array' gave {getattr(frame, 'shape', frame)!r:.80}; "
            "it gives uint8 of shape (H, W, 3).",
        )
