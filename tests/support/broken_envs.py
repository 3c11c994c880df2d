"""Environments that each break one rule of the contract, for the checker to catch.

`BROKEN` says which rule each of them breaks, by the environment's id.
"""

import os
import random
import socket
import subprocess
import threading
import time
from typing import Any, ClassVar

import gymnasium
import numpy as np
from toy_envs import Counter

from agentgym.actions import ParsedAction
from agentgym.env import AgentEnv, Frame
from agentgym.registry import register
from agentgym.stop_reason import StopReason
from agentgym.task import Task, TaskList
from agentgym.tool import ToolCall, ToolSpec

BROKEN: dict[str, tuple[str, str]] = {}
"""The rule that is broken, and words that the report must have, by id."""


def breaks(rule: str, words: str) -> Any:
    """Register a broken environment."""

    def add(kind: type[gymnasium.Env[Any, Any]]) -> type[gymnasium.Env[Any, Any]]:
        env_id = f"broken/{kind.__name__}-v0"
        register(env_id, f"broken_envs:{kind.__name__}")
        BROKEN[env_id] = (rule, words)
        return kind

    return add


class Tampered(Counter):
    """Gives what `tamper` makes of the transitions."""

    def tamper(self, step: list[Any]) -> None:
        raise NotImplementedError

    def reset(self, **kwargs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        observation, info = super().reset(**kwargs)
        step = [observation, 0.0, False, False, info]
        self.tamper(step)
        return step[0], step[4]

    def step(self, action: str) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        step = list(super().step(action))
        self.tamper(step)
        return tuple(step)


# What it is


@breaks("gymnasium", "check_env")
class IgnoresTheSeed(Counter):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:  # pyright: ignore
        return super().reset(options=options)


@breaks("gymnasium", "share an object")
class ReusesItsInfo(Tampered):
    shared: ClassVar[dict[str, int]] = {}

    def tamper(self, step: list[Any]) -> None:
        step[4]["shared"] = self.shared


@breaks("spaces", "is no AgentEnv")
class IsForeign(gymnasium.Env[Any, Any]):
    pass


@breaks("spaces", "outside of the observation space")
class ShowsBytes(Tampered):
    def tamper(self, step: list[Any]) -> None:
        step[0] = {"text": step[0]["text"].encode()}


@breaks("spaces", "outside of the observation space")
class HidesItsImage(Counter):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(visual=True, **kwargs)
        self.visual = False


@breaks("spaces", "The action space")
class TakesNumbers(Counter):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.action_space = gymnasium.spaces.Discrete(3)


@breaks("spaces", "The observation space has ['sound', 'text']")
class MakesASound(Counter):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        spaces: Any = self.observation_space
        box = gymnasium.spaces.Box(0, 1, (3,))
        self.observation_space = gymnasium.spaces.Dict({**spaces.spaces, "sound": box})


@breaks("spaces", "has no success")
class HidesItsSuccess(Tampered):
    def tamper(self, step: list[Any]) -> None:
        del step[4]["success"]


@breaks("spaces", "info['success']")
class SucceedsByHalves(Tampered):
    def tamper(self, step: list[Any]) -> None:
        step[4]["success"] = np.bool_(False)


@breaks("spaces", "metric 'count'")
class CountsToInfinity(Tampered):
    def tamper(self, step: list[Any]) -> None:
        step[4]["metrics"]["count"] = float("nan")


@breaks("spaces", "The reward of")
class PaysInWords(Tampered):
    def tamper(self, step: list[Any]) -> None:
        step[1] = "much"


@breaks("spaces", "terminated of")
class EndsWithANumber(Tampered):
    def tamper(self, step: list[Any]) -> None:
        step[2] = 0


@breaks("experts", "terminated and truncated at once")
class EndsTwice(Tampered):
    def tamper(self, step: list[Any]) -> None:
        step[3] = step[2]


@breaks("experts", "info['stop_reason']")
class EndsForNoReason(Tampered):
    def tamper(self, step: list[Any]) -> None:
        step[4]["stop_reason"] = None


@breaks("spaces", "info['stop_reason']")
class StopsAllTheTime(Tampered):
    def tamper(self, step: list[Any]) -> None:
        step[4]["stop_reason"] = StopReason.FAILURE


@breaks("spaces", "it returns five things")
class ForgetsToTruncate(Tampered):
    def tamper(self, step: list[Any]) -> None:
        if step[4]["turn"]:
            del step[3]


@breaks("tools", "share a name")
class NamesToolsAlike(Counter):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tools = (*self.tools, self.tools[0])


@breaks("tools", "no JSON schema")
class HasNoSchema(Counter):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tools = (*self.tools, ToolSpec("fly", "Flies.", {"type": "bird"}))


@breaks("tools", "There are no tools")
class HasNoTools(Counter):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tools = ()


@breaks("spec", "another episode")
class ForgetsItsOptions(Counter):
    made = 0

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        type(self).made += 1
        self.number = self.made

    def _begin(self, task: Task, options: Any) -> Frame:
        return Frame(f"{super()._begin(task, options).text} I am number {self.number}.")


@breaks("travels", "can't be sent to another process")
class CarriesALock(Tampered):
    def tamper(self, step: list[Any]) -> None:
        step[4]["lock"] = threading.Lock()


@breaks("render", "render()")
class RendersNothing(Counter):
    def render(self) -> Any:
        return None


@breaks("render", "uint8 of shape (H, W, 3)")
class RendersInGrey(Counter):
    def render(self) -> Any:
        frame = super().render()
        return frame[..., 0] if isinstance(frame, np.ndarray) else frame


@breaks("render", "every environment has 'ansi'")
class RendersNoText(Counter):
    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 1}


# What may be called when


@breaks("step-order", "before the first reset()")
class StepsBeforeItsReset(Counter):
    def step(self, action: str) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self._task is None:
            self.reset()
        return super().step(action)


@breaks("step-order", "after the episode ended")
class StepsOn(Counter):
    def step(self, action: str) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._live = self._live or self._turns > 0
        return super().step(action)


@breaks("step-order", "after close()")
class StepsAfterClose(Counter):
    def close(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._release()


@breaks("close", "close() before the first reset() raised")
class ClosesOnlyWhatRan(Counter):
    def _release(self) -> None:
        self.door.pop("open")

    def _begin(self, task: Task, options: Any) -> Frame:
        self.door = {"open": True}
        return super()._begin(task, options)


@breaks("close", "close() a second time raised")
class ClosesOnce(Counter):
    door: ClassVar[Any] = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.doors = ["outer", "inner"]

    def _release(self) -> None:
        self.doors.pop()


@breaks("close", "reset() after close() raised")
class StaysClosed(Counter):
    closed = False

    def _release(self) -> None:
        self.closed = True

    def _begin(self, task: Task, options: Any) -> Frame:
        if self.closed:
            raise ValueError("closed")
        return super()._begin(task, options)


@breaks("text-actions", "was carried out")
class TakesAnything(Counter):
    def step(self, action: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().step(str(action))


@breaks("text-actions", "raised TypeError")
class RaisesItsOwn(Counter):
    def step(self, action: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().step("" + action)


@breaks("turn-limit", "terminated=True")
class TerminatesAtItsLimit(Tampered):
    def tamper(self, step: list[Any]) -> None:
        if step[3]:
            step[2:4] = True, False
            step[4]["stop_reason"] = StopReason.FAILURE


@breaks("turn-limit", "although 3 was asked for")
class HasNoLimit(Counter):
    def __init__(self, *, max_turns: int | None = None, **kwargs: Any) -> None:
        del max_turns
        super().__init__(**kwargs)


@breaks("turn-limit", "info['turn'] is 2 after 1 turns")
class CountsDouble(Tampered):
    def tamper(self, step: list[Any]) -> None:
        step[4]["turn"] *= 2


class Shifty(TaskList):
    def find(self, task_id: str) -> int:
        return (super().find(task_id) + 1) % len(self)


@breaks("tasks", "the task is at")
class LosesItsTasks(Counter):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tasks = Shifty([self.tasks[i] for i in range(len(self.tasks))])


class Round(TaskList):
    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, index: int, /) -> Task:
        return super().__getitem__(index % super().__len__())


@breaks("tasks", "the task is at")
class RepeatsItsTasks(Counter):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tasks = Round([self.tasks[i] for i in range(len(self.tasks))])


@breaks("tasks", "began a task although there is none")
class TakesAnyTask(Counter):
    def _pick(self, choice: object) -> Task:
        return super()._pick(choice % len(self.tasks) if isinstance(choice, int) else choice)


@breaks("tasks", "The same seed draws another task")
class DrawsFromTheAir(Counter):
    drawn = 0

    def _pick(self, choice: object) -> Task:
        self.drawn += 1
        return super()._pick(self.drawn % 6 if choice is None else choice)


# Seeds


@breaks("same-seed", "Resetting the same environment")
class RemembersTheLastEpisode(Counter):
    played = 0

    def _begin(self, task: Task, options: Any) -> Frame:
        self.played += 1
        return Frame(f"{super()._begin(task, options).text} Game {self.played}.")


@breaks("same-seed", "is another episode")
class UsesTheGlobalDice(Counter):
    def _act(self, calls: Any) -> Frame:
        return Frame(super()._act(calls).text + f" A {random.random():.6f} bird sings.")


@breaks("other-process", "Playing the same in another process")
class TellsItsProcess(Counter):
    def _begin(self, task: Task, options: Any) -> Frame:
        return Frame(f"{super()._begin(task, options).text} {os.getpid()}")


@breaks("other-process", "Playing the same in another process")
class ListsASet(Counter):
    def _begin(self, task: Task, options: Any) -> Frame:
        things = {f"thing {i}" for i in range(30)}
        return Frame(f"{super()._begin(task, options).text} You see {', '.join(things)}.")


@breaks("other-process", "In another process it fails")
class NeedsItsParent(Counter):
    home = os.environ.setdefault("HOME_OF_THE_TOY", str(os.getpid()))

    def _begin(self, task: Task, options: Any) -> Frame:
        if self.home != str(os.getpid()):
            raise ValueError("far from home")
        return super()._begin(task, options)


# What a model writes


class Squeamish(Counter):
    """Raises when the world is told something that it can't swallow."""

    def bad(self, text: str) -> bool:
        raise NotImplementedError

    def _act(self, calls: Any) -> Frame:
        if any(self.bad(str(value)) for call in calls for value in call.arguments.values()):
            raise ValueError("I can't read that")
        return super()._act(calls)


@breaks("hostile-plain", "an empty text")
class NeedsAWord(Squeamish):
    def bad(self, text: str) -> bool:
        return not text


@breaks("hostile-tags", "unicode")
class ReadsAscii(Squeamish):
    def bad(self, text: str) -> bool:
        return not text.isascii() and "\ud800" not in text and "\x85" not in text


@breaks("hostile-tool_call", "1 MB of text")
class ReadsNotes(Squeamish):
    def bad(self, text: str) -> bool:
        return len(text) > 1_000_000


@breaks("hostile-react", "a lone surrogate")
class WritesUtf8(Squeamish):
    def bad(self, text: str) -> bool:
        return "\ud800" in text


@breaks("hostile-call", "white space in a call of say")
class HatesSpokenSilence(Squeamish):
    def bad(self, text: str) -> bool:
        return text.isspace() and self.calls[0].name == "say"


@breaks("hostile-plain", "control characters")
class HatesBells(Squeamish):
    def bad(self, text: str) -> bool:
        return "\a" in text


@breaks("hostile-tool_call", "control characters in a call of say")
class HatesSpokenBells(Squeamish):
    def bad(self, text: str) -> bool:
        return "\a" in text and self.calls[0].name == "say"


@breaks("hostile-tool_call", "raised KeyError")
class TrustsTheParser(Counter):
    def _parse(self, action: str) -> ParsedAction:
        if "no tool" in super()._parse(action).error.__str__().lower():
            raise KeyError(action[:10])
        return super()._parse(action)


# Experts


@breaks("experts", "has nothing to say in turn 0")
class HasAShyExpert(Counter):
    def _expert(self, name: str) -> Any:
        return None


@breaks("experts", "has not ended the episode")
class HasAnIdleExpert(Counter):
    def _expert(self, name: str) -> ParsedAction:
        return ParsedAction((ToolCall("add", {"number": "0"}),))


@breaks("experts", "which is no action in the format")
class HasAConfusedExpert(Counter):
    def __init__(self, *, action_format: str = "tags", **kwargs: Any) -> None:
        super().__init__(action_format=action_format, **kwargs)

    def _expert(self, name: str) -> ParsedAction:
        return ParsedAction((ToolCall("subtract", {"number": "0"}),))


@breaks("experts", "rejects its expert")
class HasAWrongExpert(Counter):
    def _expert(self, name: str) -> ParsedAction:
        return ParsedAction((ToolCall("add", {"number": "many"}),))


@breaks("experts", "it is a text or None")
class HasAMuteExpert(Tampered):
    def tamper(self, step: list[Any]) -> None:
        step[4].pop("expert_action", None)


# Resources

_kept: list[Any] = []


@breaks("resources", "threads")
class LeavesThreads(Counter):
    def _begin(self, task: Task, options: Any) -> Frame:
        threading.Thread(target=time.sleep, args=(20,), daemon=True).start()
        return super()._begin(task, options)


@breaks("resources", "open files")
class LeavesSockets(Counter):
    def _begin(self, task: Task, options: Any) -> Frame:
        _kept.append(socket.socketpair())
        return super()._begin(task, options)


@breaks("resources", "processes")
class LeavesProcesses(Counter):
    def _begin(self, task: Task, options: Any) -> Frame:
        _kept.append(subprocess.Popen(["sleep", "20"]))
        return super()._begin(task, options)


def tidy() -> None:
    """Give back what the leaky environments left."""
    for thing in _kept:
        if isinstance(thing, subprocess.Popen):
            thing.kill()
            thing.wait()
        else:
            for end in thing:
                end.close()
    _kept.clear()


class Hangs(Counter):
    """Waits without a limit (of its own)."""

    def _begin(self, task: Task, options: Any) -> Frame:
        time.sleep(60)
        return super()._begin(task, options)


register("broken/Hangs-v0", "broken_envs:Hangs")


class Forgetful(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Doesn't remember its arguments, so a spec can't make it again."""

    def __init__(self, env: AgentEnv, volume: int) -> None:
        super().__init__(env)
        self.volume = volume
