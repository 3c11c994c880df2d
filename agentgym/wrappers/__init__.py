"""Wrappers change limits, texts or rewards without touching the environment.

Each remembers its arguments, so that a wrapped environment can be made again from its `spec`, and
passes on `instructions`, `tools`, `task` and the rest, so that a rollout can't tell it from a plain
one. `agentgym.make(ID, wrappers=[partial(TurnLimit, max_turns=20)])` puts them on.
"""

from agentgym.wrappers.base import AgentWrapper
from agentgym.wrappers.clip_observation import ClipObservation
from agentgym.wrappers.format_penalty import FormatPenalty
from agentgym.wrappers.history_window import HistoryWindow
from agentgym.wrappers.potential_shaping import PotentialShaping
from agentgym.wrappers.shape_reward import ShapeReward, Transition
from agentgym.wrappers.turn_limit import TurnLimit

__all__ = [
    "AgentWrapper",
    "TurnLimit",
    "ClipObservation",
    "HistoryWindow",
    "ShapeReward",
    "PotentialShaping",
    "FormatPenalty",
    "Transition",
]
