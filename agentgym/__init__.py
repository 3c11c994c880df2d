"""agentgym: Gymnasium environments and multi-turn RL for LLM agents.

`make` gives an environment, `collect` runs a policy in it, `Store` keeps the trajectories, and the
trainers in `agentgym.trainers` learn from them. Importing this package registers every installed
environment with Gymnasium and imports no torch, no browser and no container library.
"""

from importlib.metadata import version

from agentgym.actions import ActionFormat, ParsedAction, action_format
from agentgym.env import AgentEnv, Frame, Observation, WorkerKind
from agentgym.errors import AgentGymError
from agentgym.policy import Completion, FinishReason, Policy, Request, Sampling
from agentgym.registry import list_envs, make, make_vec, register, register_installed
from agentgym.spaces import Unicode
from agentgym.stop_reason import StopReason
from agentgym.task import Task, TaskList, TaskSet
from agentgym.tool import Tool, ToolCall, ToolResult, ToolSpec
from agentgym.trajectory import TokenSequence, Trajectory, Turn

__version__ = version("agentgym-suite")

__all__ = [
    "make",
    "make_vec",
    "register",
    "list_envs",
    "AgentEnv",
    "Frame",
    "Observation",
    "WorkerKind",
    "Unicode",
    "Task",
    "TaskList",
    "TaskSet",
    "ActionFormat",
    "ParsedAction",
    "action_format",
    "Tool",
    "ToolCall",
    "ToolResult",
    "ToolSpec",
    "Policy",
    "Request",
    "Completion",
    "FinishReason",
    "Sampling",
    "StopReason",
    "Trajectory",
    "Turn",
    "TokenSequence",
    "AgentGymError",
]

register_installed()
