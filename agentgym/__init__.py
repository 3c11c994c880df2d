"""agentgym: Gymnasium environments and multi-turn RL for LLM agents.

`make` gives an environment, `collect` runs a policy in it, `Store` keeps the trajectories, and the
trainers in `agentgym.trainers` learn from them. Importing this package registers every installed
environment with Gymnasium and imports no torch, no browser and no container library.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from agentgym.actions import ActionFormat, ParsedAction, action_format
from agentgym.env import AgentEnv, Frame, Observation, WorkerKind
from agentgym.errors import AgentGymError
from agentgym.policy import (
    Completion,
    FinishReason,
    LearningPolicy,
    Policy,
    Request,
    Sampling,
)
from agentgym.registry import list_envs, make, register, register_installed
from agentgym.spaces import Unicode
from agentgym.stop_reason import StopReason
from agentgym.task import Task, TaskList, TaskSet
from agentgym.tool import Tool, ToolCall, ToolResult, ToolSpec
from agentgym.trajectory import TokenSequence, Trajectory, Turn

if TYPE_CHECKING:
    from agentgym.evaluation import Evaluation, evaluate
    from agentgym.function_tools import FunctionTool, function_tool
    from agentgym.rollout import Collector, EpisodeSpec, RolloutConfig, collect
    from agentgym.sandbox import ExecResult, Limit, Sandbox, SandboxSpec, make_sandbox
    from agentgym.store import Store
    from agentgym.toolbox import Toolbox, make_tool
    from agentgym.vector import make_vec

__version__ = version("agentgym-suite")

# Imported when they are first asked for: what runs episodes pulls in progress bars and
# configuration, which whoever only wants an environment should not wait for.
_LATER = {
    "make_vec": "agentgym.vector",
    "collect": "agentgym.rollout",
    "Collector": "agentgym.rollout",
    "EpisodeSpec": "agentgym.rollout",
    "RolloutConfig": "agentgym.rollout",
    "evaluate": "agentgym.evaluation",
    "Evaluation": "agentgym.evaluation",
    "Store": "agentgym.store",
    "make_sandbox": "agentgym.sandbox",
    "Sandbox": "agentgym.sandbox",
    "SandboxSpec": "agentgym.sandbox",
    "ExecResult": "agentgym.sandbox",
    "Limit": "agentgym.sandbox",
    "function_tool": "agentgym.function_tools",
    "FunctionTool": "agentgym.function_tools",
    "make_tool": "agentgym.toolbox",
    "Toolbox": "agentgym.toolbox",
}

__all__ = [
    "make",
    "make_vec",
    "register",
    "list_envs",
    "collect",
    "Collector",
    "EpisodeSpec",
    "RolloutConfig",
    "evaluate",
    "Evaluation",
    "Store",
    "make_sandbox",
    "Sandbox",
    "SandboxSpec",
    "ExecResult",
    "Limit",
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
    "function_tool",
    "FunctionTool",
    "make_tool",
    "Toolbox",
    "Policy",
    "LearningPolicy",
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


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'agentgym' has no attribute {name!r}")
