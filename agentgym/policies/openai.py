"""`OpenAIPolicy`: a model behind a URL, asked as OpenAI's API is.

It has no tokens: messages go out, text comes back, so it plays and demonstrates and is not trained.
Where the environment's action format is `tool_call`, its tools go along as the API's own, and calls
that come back become that format's text; everywhere else the text is the action. What a thinking
model writes apart from its answer (`reasoning_content`) is no part of the action, and an empty
answer is an action that can't be parsed, like any other.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any

from agentgym._openai_shape import tool_call_text, with_native_calls
from agentgym.actions import ToolCallFormat
from agentgym.chat_endpoint import ChatEndpoint
from agentgym.policy import Completion, FinishReason, Request
from agentgym.usage import Usage

_OPENAI = "https://api.openai.com/v1"
_SEEDS = 2**31  # some servers keep a seed in 32 bits


class OpenAIPolicy:
    """A chat model behind a URL.

    Args:
        model: The model's name there.
        base_url: Where the API begins, such as "http://127.0.0.1:8000/v1"; the environment variable
            OPENAI_BASE_URL if None, and OpenAI's own without that.
        key: What the server asks for; the environment variable OPENAI_API_KEY if None.
        tools: Whether tools are sent as the API's, for the action format `tool_call`. Without,
            the model is told in words how to write a call, as in any other format.
        extra: Further fields of every request, which win over the sampling's. None leaves one out:
            {"seed": None} for a server that takes no seed, {"max_tokens": None,
            "max_completion_tokens": 4096} for one that calls it so.
        price: What tokens cost, as (prompt, completion) in dollars per million.
        at_once: Most requests at a time; 32 if None, and no more than `per_minute`.
        per_minute: Most requests per minute, repeated ones included; None for no limit.
        seconds: How long the server may be silent; it is then asked again.
        retries: How often a server that is busy, failing or away is asked again, each time after a
            longer pause of up to 8 seconds, or after the one that it asks for.

    Raises:
        MissingDependencyError: If the openai package is not installed.
        UsageError: If the URL is none, or a number is out of range.
    """

    template = None
    context_length: int | None = None
    wants_expert: bool | str | None = None

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        key: str | None = None,
        tools: bool = True,
        extra: Mapping[str, Any] | None = None,
        price: Sequence[float] | None = None,
        at_once: int | None = None,
        per_minute: float | None = None,
        seconds: float = 300.0,
        retries: int = 10,
    ) -> None:
        url = os.environ.get("OPENAI_BASE_URL") or _OPENAI if base_url is None else base_url
        self._endpoint = ChatEndpoint(
            url,
            model,
            key=key,
            seconds=seconds,
            retries=retries,
            at_once=at_once,
            per_minute=per_minute,
            extra=extra,
            price=price,
        )
        self.model, self.base_url = model, self._endpoint.url
        self._tools = tools

    @property
    def episodes_at_once(self) -> int:
        """As many as there may be requests: further ones would only wait."""
        return self._endpoint.at_once

    @property
    def usage(self) -> Usage:
        """Requests, tokens and dollars so far."""
        return self._endpoint.usage

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests, in order.

        The API leaves out the stop string that ended an answer; it is put back where the answer is
        an action only with it.

        Raises:
            InfraError: If the server is away, or busy each time that it is asked.
            PolicyError: If it doesn't take a conversation, or answers with something else.
            UsageError: If it doesn't take the key, the model or the path.
        """
        answers = [asyncio.ensure_future(self._answer(request)) for request in requests]
        try:
            return list(await asyncio.gather(*answers))
        finally:
            for answer in answers:  # one has failed, and nobody waits for the others
                answer.cancel()

    def release(self, episode: str) -> None:
        """Do nothing: the server is sent whole conversations."""

    async def close(self) -> None:
        """Close this event loop's connections; may be called more than once."""
        await self._endpoint.close()

    async def _answer(self, request: Request) -> Completion:
        messages, options = request.messages, _sampling(request)
        form = request.action_format
        if self._tools and request.tools and isinstance(form, ToolCallFormat):
            messages = with_native_calls(messages, form, request.tools)
            options["tools"] = [tool.openai() for tool in request.tools]
        answer = await self._endpoint.ask(messages, options)
        text = tool_call_text(answer.text or "", answer.calls) if answer.calls else answer.text
        # Half a surrogate pair, which JSON may hold, can be neither kept nor sent back.
        text = (text or "").encode("utf-8", "replace").decode()
        if answer.cut_short:
            return Completion(text, finish=FinishReason.LENGTH)
        return Completion(_with_stop(text, request))


def _sampling(request: Request) -> dict[str, Any]:
    """Return a request's sampling as fields of the API; a `top_k` only if there is one."""
    asked = request.sampling
    fields: dict[str, Any] = {
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "max_tokens": asked.max_tokens,
    }
    if asked.top_k:
        fields["top_k"] = asked.top_k  # not OpenAI's, but vLLM's, SGLang's and llama.cpp's
    if asked.stop:
        fields["stop"] = list(asked.stop)
    if asked.seed is not None:
        fields["seed"] = asked.seed % _SEEDS
    return fields


def _with_stop(text: str, request: Request) -> str:
    """Put the stop string back that an action lacks; the API doesn't say which one ended it."""
    form, tools = request.action_format, request.tools
    if form is None or not form.parse(text, tools).error:
        return text
    closed = (text + stop for stop in request.sampling.stop)
    return next((one for one in closed if not form.parse(one, tools).error), text)
