"""Rules about what may be called when, and how an episode ends."""

from typing import Any

from agentgym.conformance.subject import BrokenRuleError, Subject, begin, demand, take
from agentgym.env import AgentEnv
from agentgym.errors import AgentGymError, EpisodeStateError, UsageError
from agentgym.stop_reason import StopReason


def step_out_of_order(subject: Subject) -> str:
    """`step` raises EpisodeStateError before a reset, after the end and after `close`."""
    with subject.opened(action_format="tool_call", max_turns=2) as env:
        _refused(env, "hello", EpisodeStateError, "before the first reset()")
        begin(env)
        while not take(env, "no call").ended:
            pass
        _refused(env, "hello", EpisodeStateError, "after the episode ended")
        begin(env)
        env.close()
        _refused(env, "hello", EpisodeStateError, "after close()")
    return "step() out of order raises EpisodeStateError"


def close_and_reset(subject: Subject) -> str:
    """`close` may be called twice and at any time, and `reset` brings the environment back."""
    with subject.opened() as env:
        _close(env, "before the first reset()")
        first = _begun_again(env)
        _close(env, "in the middle of an episode")
        _close(env, "a second time")
        again = _begun_again(env)
        demand(again == first, "reset() after close() begins another episode with the same seed.")
        take(env, "hello")
    return "close() is idempotent and reset() works after it"


def actions_are_texts(subject: Subject) -> str:
    """An action that is no `str` is a UsageError, and costs the episode nothing."""
    with subject.opened() as env:
        begin(env)
        for thing in (None, 3, b"hello", ["hello"], {"action": "hello"}):
            _refused(env, thing, UsageError, f"with a {type(thing).__name__}")
        seen = take(env, "hello")
        demand(
            seen.info["turn"] == 1,
            f"After refused actions the first turn is number {seen.info['turn']}.",
        )
    return "an action that is no str raises UsageError"


def turns_are_counted(subject: Subject) -> str:
    """`info["turn"]` counts from 0, and the turn limit truncates and does not terminate."""
    # A text that calls no tool never reaches the world, so nothing but the limit can end this.
    with subject.opened(action_format="tool_call", max_turns=3) as env:
        limit = env.max_turns
        demand(
            limit is not None and 1 <= limit <= 3,
            f"max_turns is {limit} although 3 was asked for.",
        )
        assert limit is not None
        for seed in (0, 1):
            seen = begin(env, seed)
            demand(seen.info["turn"] == 0, f"info['turn'] is {seen.info['turn']} after reset().")
            for turn in range(1, limit + 1):
                seen = take(env, "no call")
                demand(
                    seen.info["turn"] == turn,
                    f"info['turn'] is {seen.info['turn']} after {turn} turns.",
                )
                demand(
                    seen.ended == (turn == limit),
                    f"After {turn} of {limit} turns without an action the episode has "
                    f"{'' if seen.ended else 'not '}ended.",
                )
            demand(
                seen.truncated and seen.info["stop_reason"] is StopReason.TURN_LIMIT,
                f"The turn limit gave terminated={seen.terminated}, truncated={seen.truncated}, "
                f"stop_reason={seen.info['stop_reason']!r}; it truncates with 'turn_limit'.",
            )
    return "the turn limit truncates"


def _refused(env: AgentEnv, action: Any, kind: type[AgentGymError], when: str) -> None:
    try:
        env.step(action)
    except kind:
        return
    except Exception as fault:
        raise BrokenRuleError(
            f"step() {when} raised {type(fault).__name__}: {fault!s:.120}; it raises "
            f"{kind.__name__}."
        ) from fault
    raise BrokenRuleError(f"step() {when} was carried out; it raises {kind.__name__}.")


def _close(env: AgentEnv, when: str) -> None:
    try:
        env.close()
    except Exception as fault:
        raise BrokenRuleError(f"close() {when} raised {type(fault).__name__}: {fault}") from fault


def _begun_again(env: AgentEnv) -> str:
    try:
        return begin(env).observation["text"]
    except BrokenRuleError:
        raise
    except Exception as fault:
        sentence = f"reset() after close() raised {type(fault).__name__}: {fault}"
        raise BrokenRuleError(sentence) from fault
