"""Small policies that tests share."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from agentgym.message import Message
from agentgym.policy import Completion, FinishReason, Request
from agentgym.tool import ToolSpec


class Answers:
    """Answers what a function of the request says, after a while if asked to.

    Args:
        answer: Gives the text.
        delay: Gives the seconds to wait first.
        wants_expert: As of any policy.

    Attributes:
        crowd: How many must have asked at a time before anybody is answered; in vain after ten
            seconds.
    """

    crowd = 0
    template: Any = None
    context_length: int | None = None
    episodes_at_once: int | None = None

    def __init__(
        self,
        answer: Callable[[Request], str],
        delay: Callable[[Request], float] | None = None,
        wants_expert: str | None = None,
    ) -> None:
        self.answer, self.delay, self.wants_expert = answer, delay, wants_expert
        self.requests: list[Request] = []
        self.released: list[str] = []
        self.running = self.most_running = 0

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.running += len(requests)
        self.most_running = max(self.most_running, self.running)
        self.requests += requests
        try:
            for _ in range(1000):
                if self.most_running >= self.crowd:
                    break
                await asyncio.sleep(0.01)
            for request in requests:
                if self.delay is not None:
                    await asyncio.sleep(self.delay(request))
            return [self.completion(request) for request in requests]
        finally:
            self.running -= len(requests)

    def completion(self, request: Request) -> Completion:
        return Completion(self.answer(request), policy_version=7)

    def release(self, episode: str) -> None:
        self.released.append(episode)

    async def close(self) -> None:
        pass


class Letters:
    """A chat template whose ids are the letters' code points; an answer ends with 0."""

    append_only = True
    end_of_turn = 0
    observation_role = "user"

    def why(self, tools: Sequence[ToolSpec] = ()) -> None:
        return None

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> Any:
        return _ids("|".join([*(tool.name for tool in tools), *(m["content"] for m in messages)]))

    def bridge(self, observation: str, image: Any = None, *, ended: bool) -> Any:
        return _ids("" if ended else "!") if not observation else _ids(f"|{observation}|")

    def placed(self, ids: Any, images: Sequence[Any]) -> tuple[()]:
        return ()


class LetterPolicy(Answers):
    """Answers in ids, cut at `max_tokens`.

    Args:
        answer: Gives the text.
        context_length: As of any policy.
    """

    template: Any = Letters()

    def __init__(self, answer: Callable[[Request], str], context_length: int | None = None) -> None:
        super().__init__(answer)
        self.context_length = context_length

    def completion(self, request: Request) -> Completion:
        text = self.answer(request)
        whole = np.append(_ids(text), np.int32(0))
        ids = whole[: request.sampling.max_tokens]
        cut = len(ids) < len(whole)
        return Completion(
            text[: len(ids)],
            ids,
            np.full(len(ids), -0.5, np.float32),
            FinishReason.LENGTH if cut else FinishReason.STOP,
            policy_version=7,
        )


def _ids(text: str) -> Any:
    return np.array([ord(letter) for letter in text], np.int32)
