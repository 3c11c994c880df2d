"""`ChatEndpoint`: any server that answers chats as OpenAI's API does. Messages in, text out.

vLLM, SGLang, llama.cpp and most hosted models are behind one. What goes wrong is told apart: a
server that is away or busy is an `InfraError`, after it was asked again for a while; a key or a
model that it doesn't take is the caller's mistake, and every further request would meet it.
"""

import asyncio
import os
import random
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx

from agentgym.backoff import Backoff
from agentgym.errors import InfraError, PolicyError, UsageError
from agentgym.message import Message
from agentgym.scripts import UnscriptedError

_CONNECT_SECONDS = 10.0
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_REFUSED = frozenset({401, 403, 404, 405})
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_MOST_TOLD = 300


class ChatEndpoint:
    """A chat model behind a URL. Use it on one event loop, and close it there.

    Args:
        url: Where the API begins, such as "http://127.0.0.1:8000/v1".
        model: The model's name there.
        key: What the server asks for; the environment variable OPENAI_API_KEY if None.
        temperature: How it samples; 0 is greedy.
        max_tokens: Longest answer, in tokens.
        seconds: How long an answer may take.
        busy_seconds: How long a server that is busy or failing is asked again.

    Raises:
        UsageError: If the URL is none.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: str | None = None,
        temperature: float = 0.0,
        max_tokens: int = 4096,
        seconds: float = 300.0,
        busy_seconds: float = 120.0,
    ) -> None:
        try:
            parts = urlsplit(url)
            host = parts.hostname
        except ValueError:
            parts = host = None
        if parts is None or not host or parts.scheme not in ("http", "https"):
            raise UsageError(
                f"A chat endpoint needs a URL such as http://127.0.0.1:8000/v1, got {url!r}"
            )
        self.name = model
        self.url = url.rstrip("/")
        self._host = host
        self._key = os.environ.get("OPENAI_API_KEY") if key is None else key
        self._settings = {"model": model, "temperature": temperature, "max_tokens": max_tokens}
        self._seconds, self._busy_seconds = seconds, busy_seconds
        self._backoff = Backoff()
        self._rng = random.Random()
        self._client: httpx.AsyncClient | None = None

    async def write(self, messages: Sequence[Message]) -> str:
        """Return the model's answer.

        Args:
            messages: The chat so far.

        Raises:
            UnscriptedError: If the answer is cut short by `max_tokens`.
            InfraError: If the server is away, or busy for too long.
            PolicyError: If it doesn't take this chat, or answers with something else.
            UsageError: If it doesn't take the key, the model or the path.
        """
        due = time.monotonic() + self._busy_seconds
        failures = 0
        while True:
            answer = await self._post({**self._settings, "messages": list(messages)})
            if answer.status_code not in _BUSY:
                return self._text(answer)
            failures += 1
            delay = max(_asked_for(answer), self._backoff.seconds(failures, self._rng))
            if time.monotonic() + delay > due:
                raise InfraError(f"{self.url} was busy for too long: {_told(answer)}")
            await asyncio.sleep(delay)

    async def close(self) -> None:
        """Close the connections; may be called more than once."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _post(self, body: dict[str, Any]) -> httpx.Response:
        if self._client is None:
            self._client = httpx.AsyncClient(
                headers={"Authorization": f"Bearer {self._key}"} if self._key else None,
                timeout=httpx.Timeout(self._seconds, connect=_CONNECT_SECONDS),
                # The rollout says how many episodes there are at once.
                limits=httpx.Limits(max_connections=None),
                # A proxy for the web is no way to this machine.
                trust_env=self._host not in _LOCAL,
            )
        try:
            async with asyncio.timeout(self._seconds):
                return await self._client.post(f"{self.url}/chat/completions", json=body)
        except (TimeoutError, httpx.TimeoutException) as fault:
            raise InfraError(f"{self.url} did not answer within {self._seconds:g} s") from fault
        except (httpx.HTTPError, httpx.StreamError) as fault:
            raise InfraError(f"{self.url} can't be reached: {fault}") from fault
        except httpx.InvalidURL as fault:
            raise UsageError(f"The URL {self.url} is none: {fault}") from fault

    def _text(self, answer: httpx.Response) -> str:
        if answer.status_code in _REFUSED:
            raise UsageError(
                f"{self.url} refuses: {_told(answer)}. Look at the URL, the model's name and the "
                "key in OPENAI_API_KEY."
            )
        if not answer.is_success:
            raise PolicyError(f"{self.url} does not take this request: {_told(answer)}")
        try:
            choice = answer.json()["choices"][0]
            text, finish = choice["message"]["content"], choice.get("finish_reason")
        except (ValueError, LookupError, TypeError, AttributeError):
            text = finish = None
        if finish == "length":
            most = self._settings["max_tokens"]
            raise UnscriptedError("answer cut short", f"the model wrote more than {most} tokens")
        if not isinstance(text, str):
            raise PolicyError(f"{self.url} answered with something else: {_told(answer)}")
        return text


def _told(answer: httpx.Response) -> str:
    return f"{answer.status_code} {' '.join(answer.text.split())[:_MOST_TOLD]}".strip()


def _asked_for(answer: httpx.Response) -> float:
    """Return how many seconds the server asks to be left alone; it may name a date, which is 0."""
    seconds = answer.headers.get("retry-after", "")
    return float(seconds) if seconds.isdecimal() and len(seconds) < 7 else 0.0
