"""`check`: does an environment keep the contract? One result a rule, each with a sentence.

The contract is what `AgentEnv` promises to rollouts and trainers; `agentgym.conformance` has a
module for each of its parts. Every rule makes environments of its own and runs in a thread of its
own with a time limit, so that an environment that hangs fails its rule and not the check.

    $ agentgym check acme/Garden-v0
"""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from agentgym.conformance import (
    BrokenRuleError,
    Report,
    Result,
    Subject,
    determinism,
    experts,
    hostile,
    interface,
    order,
    resources,
    tasks,
)
from agentgym.errors import UnknownNameError, UsageError
from agentgym.registry import env_spec

__all__ = ["Report", "Result", "RULES", "check", "check_rule"]

Rule = Callable[[Subject], str]

RULES: Mapping[str, Rule] = {
    "gymnasium": interface.gymnasium_checker,
    "spaces": interface.spaces,
    "tools": interface.tools,
    "spec": interface.rebuilt_from_spec,
    "travels": interface.travels,
    "render": interface.render,
    "step-order": order.step_out_of_order,
    "close": order.close_and_reset,
    "text-actions": order.actions_are_texts,
    "turn-limit": order.turns_are_counted,
    "tasks": tasks.picked,
    "same-seed": determinism.same_seed,
    "other-process": determinism.other_process,
    "hostile-plain": partial(hostile.in_format, "plain"),
    "hostile-tags": partial(hostile.in_format, "tags"),
    "hostile-tool_call": partial(hostile.in_format, "tool_call"),
    "hostile-react": partial(hostile.in_format, "react"),
    "hostile-call": partial(hostile.in_format, "call"),
    "experts": experts.play,
    "resources": resources.released,
}
"""The rules by name, in the order they are run."""

_SECONDS = 600.0
"""What a rule may take."""


def check(env_id: str, **kwargs: Any) -> Report:
    """Check an environment against every rule of the contract.

    Args:
        env_id: The environment's id.
        **kwargs: Its options, `wrappers` included.

    Returns:
        A result for every rule; `Report.passed` tells whether all hold.

    Raises:
        UnknownNameError: If there is no such environment, or it has no such option.
        UsageError: If it refuses the options.
    """
    # Options that are refused say nothing about the environment, and would break every rule.
    refusal = _within_limit(Subject(env_id, kwargs), _made)
    if isinstance(refusal, UsageError):
        raise refusal
    return Report(env_id, tuple(check_rule(rule, env_id, **kwargs) for rule in RULES))


def check_rule(rule: str, env_id: str, /, **kwargs: Any) -> Result:
    """Check an environment against one rule.

    Args:
        rule: The rule's name, one of `RULES`.
        env_id: The environment's id.
        **kwargs: Its options, `wrappers` included.

    Raises:
        UnknownNameError: If there is no such environment or rule.
    """
    if rule not in RULES:
        raise UnknownNameError("rule", rule, RULES)
    env_spec(env_id)
    began = time.perf_counter()
    passed, detail = _judge(RULES[rule], Subject(env_id, kwargs))
    return Result(rule, passed, detail, time.perf_counter() - began)


def _judge(rule: Rule, subject: Subject) -> tuple[bool, str]:
    outcome = _within_limit(subject, rule)
    if outcome is None:
        return False, f"Not done after {_SECONDS:g} s; something waits without a time limit."
    if isinstance(outcome, BrokenRuleError):
        return False, str(outcome)
    if isinstance(outcome, BaseException):
        return False, f"{type(outcome).__name__}: {outcome}"
    return True, outcome


def _made(subject: Subject) -> str:
    with subject.opened():
        return "made"


def _within_limit(subject: Subject, rule: Rule) -> str | BaseException | None:
    """Return what a rule remarks or raises; None if it isn't done in time."""
    outcome: str | BaseException | None = None

    def run() -> None:
        nonlocal outcome
        try:
            outcome = rule(subject)
        except BaseException as fault:
            outcome = fault

    thread = threading.Thread(target=run, name=f"check {subject.env_id}", daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return outcome
