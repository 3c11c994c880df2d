"""Rules about experts: they play, and they write what the environment can read."""

from agentgym.conformance.subject import BrokenRuleError, Subject, begin, demand, take
from agentgym.env import AgentEnv

_PATIENCE = 1000
"""Turns in which an expert without a turn limit must be done."""


def play(subject: Subject) -> str:
    """Every expert plays episodes to their end in actions that parse and are accepted."""
    with subject.opened(expert=False) as env:
        names = env.experts
    if not names:
        return "has no expert"
    remarks: list[str] = []
    for name in names:
        with subject.opened(expert=name) as env:
            won = sum(_episode(env, name, seed) for seed in range(3))
        with subject.opened(expert=name, action_format="tool_call") as env:
            _episode(env, name, 0)
        remarks.append(f"{name} succeeded in {won} of 3 episodes")
    return "; ".join(remarks)


def _episode(env: AgentEnv, name: str, seed: int) -> bool:
    demand(env.expert == name, f"expert={name!r} gave the expert {env.expert!r}.")
    seen = begin(env, seed)
    for turn in range(env.max_turns or _PATIENCE):
        action = seen.info["expert_action"]
        if not isinstance(action, str):
            raise BrokenRuleError(
                f"The expert {name} has nothing to say in turn {turn} of seed {seed}."
            )
        error = env.action_format.parse(action, env.tools).error
        demand(
            error is None,
            f"The expert {name} writes {action!r:.120}, which is no action in the format "
            f"{env.action_format.name!r}: {error}",
        )
        seen = take(env, action, f"the answer of the expert {name}")
        demand(
            seen.info["action_error"] is None,
            f"The environment rejects its expert {name}: {action!r:.120} gave "
            f"{seen.info['action_error']!r}.",
        )
        if seen.ended:
            return bool(seen.info["success"])
    raise BrokenRuleError(f"The expert {name} has not ended the episode of seed {seed} in time.")
