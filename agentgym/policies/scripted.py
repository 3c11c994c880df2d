"""Policies without a model: an environment's expert, a random one, and a recording.

They have no tokens, so a `Completion` of theirs is text only. What they answer is a function of the
request and their arguments: nothing depends on which episode happened to be asked first.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, cast

from agentgym.actions import Plain
from agentgym.errors import DataError, PolicyError, UsageError
from agentgym.policy import Completion, Request
from agentgym.trajectory import Trajectory

_PLAIN = Plain()


class ScriptedPolicy:
    """Base of policies that answer at once and hold nothing.

    A subclass says `_answer`, and `wants_expert` where it reads `info["expert_action"]`.
    """

    template = None
    context_length: int | None = None
    episodes_at_once: int | None = None
    wants_expert: bool | str | None = None

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests, in order.

        Raises:
            PolicyError: If there is no answer.
        """
        return [Completion(self._answer(request)) for request in requests]

    def release(self, episode: str) -> None:
        """Do nothing: no episode is remembered."""

    async def close(self) -> None:
        """Do nothing: nothing is held."""

    def _answer(self, request: Request) -> str:
        raise NotImplementedError(f"{type(self).__name__} has no answers")


class ExpertPolicy(ScriptedPolicy):
    """Does what the environment's expert would do, or, with `noise`, now and then something else.

    Whoever imitates an expert that never errs doesn't learn what to do after an error of his own.
    A noisy expert errs, sees what follows, and mends it; its errors are marked as `exploratory`,
    so that they are seen and not imitated (noise injection: DART, arXiv 1703.09327).

    Args:
        name: Which expert; the environment's first one if None.
        noise: The probability of an error: half of them an admissible command by chance, half the
            expert's action with a word that was read in the place of one of its own. Errors are
            written in the environment's action format, as the expert's actions are.
    """

    def __init__(self, name: str | None = None, *, noise: float = 0.0) -> None:
        if not 0 <= noise < 1:
            raise UsageError(f"noise is a probability below 1, got {noise}")
        self.wants_expert = True if name is None else name
        self._noise = noise

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests, in order.

        Raises:
            PolicyError: If the expert has no action.
        """
        return [self._completion(request) for request in requests]

    def _completion(self, request: Request) -> Completion:
        action = self._answer(request)
        draw = _draw(request, "noise")
        if draw.random() < self._noise:
            return Completion(_slip(action, request, draw), exploratory=True)
        return Completion(action)

    def _answer(self, request: Request) -> str:
        action = request.info.get("expert_action")
        if not isinstance(action, str):
            which = "The expert" if self.wants_expert is True else f"Expert {self.wants_expert!r}"
            raise PolicyError(
                f"{which} has no action here; make the environment with "
                f"expert={self.wants_expert!r}, and see that it is not at a loss."
            )
        return action


def oracle() -> ExpertPolicy:
    """Return the expert that knows the whole state."""
    return ExpertPolicy("oracle")


def explorer() -> ExpertPolicy:
    """Return the expert that knows what an agent could have seen."""
    return ExpertPolicy("explorer")


class RandomPolicy(ScriptedPolicy):
    """Takes one of `info["admissible_commands"]` by chance; where there are none, a word it read.

    The choice follows from `seed`, the request's own seed (or else its episode) and the turn.

    Args:
        seed: Seeds the choices.
        render: Writes a command as an action; in the environment's action format if None.

    Raises:
        UsageError: If the seed is no whole number.
    """

    def __init__(self, seed: int | str = 0, render: Callable[[str], str] | None = None) -> None:
        try:
            self._seed = int(seed)
        except ValueError as fault:
            raise UsageError(f"A seed is a whole number, got {seed!r}; try random:0") from fault
        self._render = render

    def _answer(self, request: Request) -> str:
        choices = list(request.info.get("admissible_commands") or _read(request).split() or [""])
        command = _draw(request, self._seed).choice(choices)
        return _written(command, request) if self._render is None else self._render(command)


def _draw(request: Request, purpose: int | str) -> Random:
    """Return a generator that depends on the request's seed (or its episode) and the turn."""
    given = request.sampling.seed
    whose = request.episode if given is None else given
    return Random(f"{purpose}/{whose}/{len(request.messages)}")


def _read(request: Request) -> str:
    return str(request.messages[-1]["content"]) if request.messages else ""


def _written(command: str, request: Request) -> str:
    """Write a command, a text for the environment's first tool, in its action format."""
    chosen = request.action_format
    if chosen is None or isinstance(chosen, Plain):
        return command
    parsed = _PLAIN.parse(command, request.tools)
    # Without calls, the first tool takes no text, and there is no way to write the command.
    return chosen.render(parsed, request.tools) if parsed.calls else command


def _others(action: str, request: Request) -> list[str]:
    """Return the admissible commands, where they are told, that are not the action."""
    told: Sequence[str] = request.info.get("admissible_commands") or ()
    if request.action_format is None:
        return [command for command in told if command != action]
    tools = request.tools
    calls = request.action_format.parse(action, tools).calls
    return [command for command in told if _PLAIN.parse(command, tools).calls != calls]


def _slip(action: str, request: Request, draw: Random) -> str:
    """Return an error."""
    others = _others(action, request)
    if others and draw.random() < 0.5:
        return _written(draw.choice(others), request)
    chosen = request.action_format
    if chosen is None:
        return _misread(action, request, draw)
    parsed = chosen.parse(action, request.tools)
    spots = [
        (call, name)
        for call in parsed.calls[:1]
        for name, value in call.arguments.items()
        if isinstance(value, str)
    ]
    if not spots:
        return _misread(action, request, draw)
    call, name = spots[0]
    arguments = {**call.arguments, name: _misread(call.arguments[name], request, draw)}
    calls = (replace(call, arguments=arguments), *parsed.calls[1:])
    return chosen.render(replace(parsed, calls=calls), request.tools)


def _misread(text: str, request: Request, draw: Random) -> str:
    """Put a word that was read in the place of one of the text's."""
    words = text.split(" ")
    place = draw.randrange(len(words))
    read = (word.strip(".,:") for word in _read(request).split())
    words[place] = draw.choice([word for word in read if word != words[place]] or ["?"])
    return " ".join(words)


class ReplayPolicy(ScriptedPolicy):
    """Repeats recorded actions, from the first, in every episode.

    Args:
        actions: What to answer, turn by turn.
    """

    def __init__(self, actions: Sequence[str]) -> None:
        self._actions = tuple(actions)

    @classmethod
    def of(cls, trajectory: Trajectory) -> "ReplayPolicy":
        """Return a policy that repeats a trajectory's actions."""
        return cls([turn.action for turn in trajectory.turns])

    @classmethod
    def from_file(cls, path: str | Path) -> "ReplayPolicy":
        """Read a recording: a JSON list of actions, or plain text with an action per line.

        Raises:
            DataError: If the file can't be read as either.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise DataError(f"The recording {path} can't be read: {fault}") from fault
        if not text.lstrip().startswith("["):
            return cls(text.splitlines())
        try:
            actions = cast("list[Any]", json.loads(text))
        except json.JSONDecodeError as fault:
            raise DataError(f"The recording {path} is not valid JSON: {fault}") from fault
        if not all(isinstance(action, str) for action in actions):
            raise DataError(f"The recording {path} must be a list of strings.")
        return cls(actions)

    def _answer(self, request: Request) -> str:
        turn = sum(message["role"] == "assistant" for message in request.messages)
        if turn >= len(self._actions):
            raise PolicyError(
                f"The recording has {len(self._actions)} actions, and the episode goes on after "
                "them: it was recorded on another task, or the environment has changed."
            )
        return self._actions[turn]
