"""`AgentWrapper`: changes what an agent environment shows or pays, and still looks like one.

Gymnasium's `Wrapper` hides everything but the five methods. A rollout also asks an environment for
its instructions, tools and tasks, so this base class passes them on. Arguments are remembered, so
that `env.spec.make()` builds the same stack again, in another process too.
"""

from typing import Any, cast

import gymnasium
from gymnasium.utils import RecordConstructorArgs

from agentgym.actions import ActionFormat
from agentgym.env import AgentEnv, Observation, WorkerKind
from agentgym.errors import UsageError
from agentgym.task import Task, TaskSet
from agentgym.tool import ToolCall, ToolSpec

StepResult = tuple[Observation, float, bool, bool, dict[str, Any]]
"""What `step` returns."""


class AgentWrapper(
    gymnasium.Wrapper[Observation, str, Observation, str],
    RecordConstructorArgs,
):
    """Base class of agentgym's wrappers.

    A subclass names its own arguments in the call of this constructor and overrides `reset` or
    `step`. It keeps the contract: what it adds to a text is in the text, what it adds to a reward
    is in `info`.

    Args:
        env: An `AgentEnv`, wrapped or not.
        **arguments: The subclass's own arguments, remembered in `env.spec`.

    Raises:
        UsageError: If `env` is no agent environment.
    """

    def __init__(self, env: "AgentEnv | AgentWrapper", **arguments: Any) -> None:
        if not isinstance(env.unwrapped, AgentEnv):
            raise UsageError(
                f"{type(self).__name__} wraps an AgentEnv; got {type(env.unwrapped).__name__}."
            )
        RecordConstructorArgs.__init__(self, **arguments)
        super().__init__(env)
        self.env: AgentEnv | AgentWrapper = env

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; see `AgentEnv.reset`."""
        return self.env.reset(seed=seed, options=options)

    def step(self, action: str) -> StepResult:
        """Take one turn; see `AgentEnv.step`."""
        return self.env.step(action)

    @property
    def unwrapped(self) -> AgentEnv:
        """The environment underneath all wrappers."""
        return cast("AgentEnv", self.env.unwrapped)  # whatever is wrapped, `__init__` has looked

    @property
    def instructions(self) -> str:
        """The system prompt."""
        return self.env.instructions

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """What the model may call."""
        return self.env.tools

    @property
    def tasks(self) -> TaskSet:
        """What an episode may be about."""
        return self.env.tasks

    @property
    def task(self) -> Task:
        """The current episode's task."""
        return self.env.task

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tool calls read from the last action."""
        return self.env.calls

    @property
    def action_format(self) -> ActionFormat:
        """How the model writes its actions."""
        return self.env.action_format

    @property
    def max_turns(self) -> int | None:
        """Turns after which the episode is truncated; None for no limit."""
        return self.env.max_turns

    @property
    def parallel_calls(self) -> bool:
        """Whether one turn may carry several tool calls."""
        return self.env.parallel_calls

    @property
    def description(self) -> str:
        """What the model is told about this world, before the rules of the action format."""
        return self.env.description

    @property
    def worker(self) -> WorkerKind:
        """Where the environment wants to live during a rollout."""
        return self.env.worker

    @property
    def experts(self) -> tuple[str, ...]:
        """The names of the environment's experts."""
        return self.env.experts

    @property
    def expert(self) -> str | None:
        """The expert whose answer is in `info["expert_action"]`; None for none."""
        return self.env.expert
