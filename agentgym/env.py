"""`AgentEnv`: a strict Gymnasium environment whose action is what a model wrote.

A subclass says what its world is (`_begin`, `_act`, an expert); this class keeps the contract that
every environment shares, so that it is kept once: actions are parsed by an `ActionFormat` and what
does not parse is an observation that says what was wrong; turns are counted; terminated and
truncated stay apart; a step out of order raises; `info` always has the same keys. See
`docs/contract.md`.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, NotRequired, TypedDict, cast, final

import gymnasium
import numpy as np
import numpy.typing as npt

from agentgym.actions import ActionFormat, ParsedAction, action_format
from agentgym.errors import EnvError, EpisodeStateError, UnknownNameError, UsageError
from agentgym.spaces import Unicode, observation_space
from agentgym.stop_reason import StopReason
from agentgym.task import Task, TaskSet
from agentgym.tool import ToolCall, ToolSpec

Image = npt.NDArray[np.uint8]


class Observation(TypedDict):
    """What the model sees: text, and in visual environments an image (H, W, 3), uint8."""

    text: str
    image: NotRequired[Image]


class WorkerKind(StrEnum):
    """Where an environment wants to live during a rollout."""

    SHARED = "shared"
    """A step costs microseconds and it doesn't matter which thread takes it: many environments
    share one thread, and what turns out to be slow is moved aside."""
    THREAD = "thread"
    """It mostly waits (a browser, a phone): a thread of its own, always the same one."""
    PROCESS = "process"
    """It burns CPU for longer than a process round trip costs, or can bring a process down."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a world shows after a reset or a turn.

    Attributes:
        text: What the model reads.
        reward: What the turn earned.
        ended: Whether the episode is over by the world's own rules.
        success: Whether the task is done.
        limit: The world's own limit that cut the episode short (`TIME_LIMIT`, …), if one did.
        image: (H, W, 3) uint8 for visual environments.
        action_error: What was wrong with the action, in the model's terms.
        metrics: Figures about the episode so far, averaged by `eval` and the trainers.
        info: Anything else that belongs into the step's `info`.
    """

    text: str
    reward: float = 0.0
    ended: bool = False
    success: bool = False
    limit: StopReason | None = None
    image: Image | None = None
    action_error: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    info: Mapping[str, Any] = field(default_factory=dict[str, Any])


class AgentEnv(gymnasium.Env[Observation, str]):
    """Base class of every agentgym environment.

    Subclasses set `tools`, `tasks` and `description`, and implement `_begin` and `_act`; those with
    an expert list its names in `experts` and implement `_expert`.

    Args:
        action_format: How the model writes its actions: "plain", "tags", "tool_call", "react",
            "call", or an `ActionFormat` of your own.
        max_turns: Turns after which the episode is truncated; None for no limit.
        expert: True (or an expert's name) puts what the expert would answer now into
            `info["expert_action"]`, written in `action_format`.
        instructions: Replaces the system prompt; "" for none.
        render_mode: "ansi" for text; "rgb_array" where the environment is visual.
        image_shape: (height, width) of the observation's image, for visual environments.

    Attributes:
        tools: What the model may call.
        tasks: What an episode may be about.
        calls: The tool calls read from the last action, also those that were rejected.

    Raises:
        UsageError: If an argument is not one of the above.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 (Gymnasium's own declaration)

    worker: WorkerKind = WorkerKind.THREAD
    """Where it wants to live; a rollout reads it off the class (`worker_for`)."""
    episodes_at_once: ClassVar[int | None] = None
    """How many episodes this machine serves well, where that isn't what suits `worker`."""
    experts: ClassVar[tuple[str, ...]] = ()
    description: ClassVar[str] = ""
    """What the model is told about this world, before the rules of the action format."""
    parallel_calls: ClassVar[bool] = False
    """Whether one turn may carry several tool calls."""
    cut_short_reward: ClassVar[float] = 0.0
    """What the turn earns besides on which a limit cuts the episode short."""

    tools: tuple[ToolSpec, ...]
    tasks: TaskSet

    def __init__(
        self,
        *,
        action_format: str | ActionFormat = "plain",
        max_turns: int | None = None,
        expert: bool | str = False,
        instructions: str | None = None,
        render_mode: str | None = None,
        image_shape: tuple[int, int] | None = None,
    ) -> None:
        if max_turns is not None and not (_is_whole(max_turns) and max_turns >= 1):
            raise UsageError(f"max_turns must be a whole number from 1, or None; got {max_turns!r}")
        modes: list[str] = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in modes:
            raise UsageError(f"render_mode must be one of {modes}, got {render_mode!r}")
        self.action_format = _format(action_format)
        self.max_turns = max_turns
        self.render_mode = render_mode
        self._instructions = instructions
        self.expert = self._expert_name(expert)
        self.observation_space = cast(
            "gymnasium.Space[Observation]", observation_space(image_shape)
        )
        self.action_space = Unicode()
        self.calls: tuple[ToolCall, ...] = ()
        self._task: Task | None = None
        self._turns = 0
        self._live = False
        self._frame: Frame | None = None

    # What a subclass implements.

    @classmethod
    def worker_for(cls, options: Mapping[str, Any]) -> WorkerKind:
        """Return where an instance made with these options wants to live.

        It is asked for before there is an instance. Most classes have one answer, `worker`.
        """
        return cls.worker

    @abstractmethod
    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        """Set the task up and show its first frame.

        Randomness comes from `self.np_random` only. Resources that are gone raise `InfraError`.

        Args:
            task: What the episode is about.
            options: What `reset` was given, without "task".
        """

    @abstractmethod
    def _act(self, calls: Sequence[ToolCall]) -> Frame:
        """Carry out a turn's calls, each of which fits its tool's schema, and show the next frame.

        Args:
            calls: One call, or several where the class allows `parallel_calls`.
        """

    def _expert(self, name: str) -> ParsedAction | None:
        """Return what the expert `name` would do now; None where it has nothing to say."""
        raise NotImplementedError(f"{type(self).__name__} lists expert {name!r} but has none")

    def _release(self) -> None:
        """Give back what the episode holds. Called by `close`, possibly more than once."""

    # What a user sees.

    @property
    def instructions(self) -> str:
        """The system prompt: what this world is, and how to write an action."""
        if self._instructions is not None:
            return self._instructions
        rules = self.action_format.instructions(self.tools)
        return f"{self.description}\n\n{rules}" if self.description else rules

    @property
    def task(self) -> Task:
        """The current episode's task.

        Raises:
            EpisodeStateError: Before the first reset.
        """
        if self._task is None:
            raise EpisodeStateError(
                "There is no task before the first reset(); call reset() first."
            )
        return self._task

    @final
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seeds the environment's generator, as Gymnasium does; the task is drawn from it
                unless `options` picks one. Picking the task that the seed draws changes nothing
                else.
            options: "task" picks the task: its index, its id, or a `Task`. Other keys are the
                environment's.

        Returns:
            The first observation, and `info` (see `step`).

        Raises:
            UnknownNameError: If there is no such task.
            UsageError: If the task is out of range or is none of these.
            InfraError: If a resource could not be had.
            EnvError: If the world is over before its first turn.
        """
        super().reset(seed=seed)
        given = dict(options or {})
        self._live = False
        self._turns = 0
        self.calls = ()
        self._task = self._pick(given.pop("task", None))
        frame = self._begin(self._task, given)
        if frame.ended or frame.limit is not None:
            raise EnvError(f"{type(self).__name__} ended task {self._task.id!r} at its reset.")
        self._frame = frame
        self._live = True
        return self._observation(frame), self._info(frame)

    @final
    def step(self, action: str) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take one turn.

        Args:
            action: What the model wrote, verbatim.

        Returns:
            Observation, reward, terminated, truncated, and `info` with
            `success` (bool), `action_error` (str | None), `metrics` (dict of float), `turn` (int,
            from 0 at reset), `stop_reason` (a `StopReason` once the episode ended, else None),
            `expert_action` where an expert was asked for, and whatever the environment adds.

        Raises:
            EpisodeStateError: Before `reset`, and after the episode ended.
            UsageError: If `action` is not a `str`.
            InfraError: If a resource failed.
        """
        if not self._live:
            raise EpisodeStateError("This episode is not running; call reset() to start one.")
        if not isinstance(action, str):  # pyright: ignore[reportUnnecessaryIsInstance] (callers may be untyped)
            raise UsageError(
                f"An action is a str, what the model wrote; got {type(action).__name__}."
            )
        self._live = False  # a world that raises is in no state to go on from
        self._turns += 1
        parsed = self._parse(action)
        self.calls = parsed.calls
        frame = self._act(parsed.calls) if parsed.error is None else self._rejected(parsed.error)
        self._frame = frame
        truncated = not frame.ended and (frame.limit is not None or self._turns == self.max_turns)
        self._live = not (frame.ended or truncated)
        info = self._info(frame)
        if frame.ended:
            info["stop_reason"] = StopReason.SUCCESS if frame.success else StopReason.FAILURE
        elif truncated:
            info["stop_reason"] = frame.limit or StopReason.TURN_LIMIT
        reward = float(frame.reward) + (self.cut_short_reward if truncated else 0.0)
        return self._observation(frame), reward, frame.ended, truncated, info

    @final
    def close(self) -> None:
        """Release every resource. May be called twice; a later `reset` acquires them again."""
        self._live = False
        self._release()

    def render(self) -> Any:
        """Return the last frame in the `render_mode`: its text, or its image (H, W, 3) uint8."""
        if self.render_mode is None or self._frame is None:
            return None
        return self._frame.text if self.render_mode == "ansi" else self._frame.image

    # How the contract is kept.

    def _pick(self, choice: object) -> Task:
        # Drawn even when it isn't needed: the generator is then in the same state either way, and
        # the same seed and task are the same episode.
        drawn = int(self.np_random.integers(len(self.tasks)))
        if choice is None:
            return self.tasks[drawn]
        if isinstance(choice, Task):
            return choice
        if isinstance(choice, str):
            return self.tasks[self.tasks.find(choice)]
        if isinstance(choice, bool) or not isinstance(choice, int | np.integer):
            raise UsageError(f"A task is picked by index, id or Task; got {choice!r}.")
        index = int(choice)
        if not 0 <= index < len(self.tasks):
            raise UsageError(
                f"Task index {index} is out of range: there are {len(self.tasks)} tasks."
            )
        return self.tasks[index]

    def _parse(self, action: str) -> ParsedAction:
        parsed = self.action_format.parse(action, self.tools)
        if parsed.error is None and len(parsed.calls) > 1 and not self.parallel_calls:
            error = f"One action per turn, please: you wrote {len(parsed.calls)}."
            return ParsedAction(calls=parsed.calls, thought=parsed.thought, error=error)
        return parsed

    def _rejected(self, error: str) -> Frame:
        # The world did not move, so what it showed last (figures, lists, image) still holds. It is
        # copied, since callers keep the observations and infos they were given.
        last = self._frame
        assert last is not None
        return Frame(
            text=error,
            success=last.success,
            image=None if last.image is None else last.image.copy(),
            action_error=error,
            metrics=last.metrics,
            info=deepcopy(dict(last.info)),
        )

    def _observation(self, frame: Frame) -> Observation:
        if frame.image is not None:
            return {"text": frame.text, "image": frame.image}
        return {"text": frame.text}

    def _info(self, frame: Frame) -> dict[str, Any]:
        info: dict[str, Any] = {
            **frame.info,
            "success": frame.success,
            "action_error": frame.action_error,
            "metrics": dict(frame.metrics),
            "turn": self._turns,
            "stop_reason": None,
        }
        if self.expert is not None:
            advice = self._expert(self.expert) if self._live else None
            info["expert_action"] = (
                None if advice is None else self.action_format.render(advice, self.tools)
            )
        return info

    def _expert_name(self, expert: bool | str) -> str | None:
        if expert is False:
            return None
        name = (self.experts[0] if self.experts else "default") if expert is True else expert
        if name not in self.experts:
            raise UnknownNameError(f"expert of {type(self).__name__}", name, self.experts)
        return name


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer)


def _format(choice: str | ActionFormat) -> ActionFormat:
    return action_format(choice) if isinstance(choice, str) else choice
