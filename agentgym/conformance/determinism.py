"""Rules about seeds: the same seed is the same episode, in this process and in another.

A transcript is all that an episode showed, as JSON lines. Run as a module this file writes the
transcript of the subject that it reads from its standard input; the other process gets another hash
seed, so that an order taken from a set or from addresses doesn't go unnoticed.
"""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from contextlib import redirect_stdout
from typing import Any, cast

import gymnasium
import numpy as np

from agentgym.actions import ParsedAction
from agentgym.conformance.hostile import TEXTS, example
from agentgym.conformance.subject import BrokenRuleError, Seen, Subject, begin, demand, take
from agentgym.env import AgentEnv
from agentgym.registry import env_spec
from agentgym.tool import ToolCall

_SEEDS = (0, 1, 2**32 + 7)
_TURNS = 12
_LIMIT = 120.0
"""Seconds that the other process may take."""


def same_seed(subject: Subject) -> str:
    """The same seed and actions give the same episode, in a fresh environment and in a used one."""
    with subject.opened() as env, subject.opened() as other:
        for seed in _SEEDS:
            first = episode(env, seed)
            _compare(first, episode(env, seed), f"Resetting the same environment with {seed}")
            _compare(first, episode(other, seed), f"Resetting another environment with {seed}")
    return f"{len(_SEEDS)} seeds, {_TURNS} turns each: the same again"


def other_process(subject: Subject) -> str:
    """The same seed and actions give the same episode in another process."""
    with subject.opened() as env:
        here = [line for seed in _SEEDS for line in episode(env, seed)]
    try:
        message = pickle.dumps((env_spec(subject.env_id), subject))
    except Exception as fault:
        raise BrokenRuleError(f"The options can't be sent to another process: {fault}") from fault
    surroundings = {
        **os.environ,
        "PYTHONHASHSEED": "20011",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "agentgym.conformance.determinism"],
            input=message,
            capture_output=True,
            env=surroundings,
            timeout=_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as fault:
        raise BrokenRuleError(f"In another process it is not done after {_LIMIT:g} s.") from fault
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise BrokenRuleError(f"In another process it fails: {' '.join(last)}")
    there = done.stdout.decode().splitlines()
    _compare(here, there, "Playing the same in another process")
    return f"{len(there)} lines of transcript are the same in another process"


def episode(env: AgentEnv, seed: int) -> list[str]:
    """Play a few turns with actions that depend on the seed, and return the transcript."""
    dice = np.random.default_rng(seed)
    seen = begin(env, seed)
    lines = [_line("", seen, env)]
    while not seen.ended and len(lines) <= _TURNS:
        action = _action(env, seen, dice)
        seen = take(env, action)
        lines.append(_line(action, seen, env))
    return lines


def _action(env: AgentEnv, seen: Seen, dice: np.random.Generator) -> str:
    """Pick what an expert, a random walker or a confused model would write."""
    offered = seen.info.get("admissible_commands") or [TEXTS["unicode"], "hello", "1"]
    text = str(offered[int(dice.integers(len(offered)))])
    tool = env.tools[int(dice.integers(len(env.tools)))]
    arguments = cast("dict[str, Any]", example(tool.parameters, text))
    written = env.action_format.render(ParsedAction((ToolCall(tool.name, arguments),)), env.tools)
    advice = seen.info.get("expert_action")
    choices = [written, written, text, *([advice] * 3 if advice else [])]
    return choices[int(dice.integers(len(choices)))]


def _line(action: str, seen: Seen, env: AgentEnv) -> str:
    told = {
        "task": env.task.id,
        "action": action,
        "observation": dict(seen.observation),
        "reward": seen.reward,
        "flags": [seen.terminated, seen.truncated],
        "info": seen.info,
    }
    return json.dumps(told, default=_plain, sort_keys=True)


def _plain(thing: object) -> object:
    # Objects that JSON has no word for enter by what they hold, never by their address.
    if isinstance(thing, np.ndarray):
        digest = hashlib.sha256(thing.tobytes()).hexdigest()
        return [thing.dtype.str, thing.shape, digest]
    if isinstance(thing, np.generic):
        return thing.item()
    if isinstance(thing, set | frozenset):
        return sorted(map(repr, cast("set[object]", thing)))
    return type(thing).__name__


def _compare(first: list[str], second: list[str], what: str) -> None:
    for number, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            at = next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
            start = max(0, at - 30)
            raise BrokenRuleError(
                f"{what} is another episode: in line {number} of the transcript "
                f"…{one[start : at + 40]!r}… is …{other[start : at + 40]!r}…"
            )
    demand(
        len(first) == len(second),
        f"{what} is another episode: {len(first)} lines of transcript are {len(second)}.",
    )


def _main() -> None:
    spec, subject = pickle.load(sys.stdin.buffer)
    gymnasium.registry.setdefault(subject.env_id, spec)
    with redirect_stdout(sys.stderr), subject.opened() as env:  # worlds may print
        lines = [line for seed in _SEEDS for line in episode(env, seed)]
    print("\n".join(lines))


if __name__ == "__main__":
    _main()
