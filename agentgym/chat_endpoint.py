"""`ChatEndpoint`: any server that answers chats as OpenAI's API does. Messages in, text out.

vLLM, SGLang, llama.cpp and most hosted models are behind one. The `openai` client speaks to it and
asks a busy server again; what goes wrong in the end is told apart here: a server that is away or
stays busy is an `InfraError`, while a key or a model that it doesn't take is the caller's mistake,
and every further request would meet it.

`ask` is one request with whatever options the API has; `write` is the plain case, in which a text
comes back. What a thinking model writes apart from its answer (`reasoning_content`) is ignored.
"""

import asyncio
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from agentgym._deadlines import TaskLimit
from agentgym._openai_shape import ChatAnswer, Pictures
from agentgym.errors import InfraError, MissingDependencyError, PolicyError, UsageError
from agentgym.message import Message
from agentgym.pace import Pace
from agentgym.scripts import UnscriptedError
from agentgym.usage import Meter, Price, Usage

_CONNECT_SECONDS = 10.0
_LONGEST_PAUSE = 120.0
"""How long the client waits at most because a server asks it to."""
_AT_ONCE = 32
_REFUSED = frozenset({401, 402, 403, 404, 405})
_SPENT = "insufficient_quota"
"""What a 429 of OpenAI's says that no waiting helps against."""
_BUSY = frozenset({408, 409, 429})
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_MOST_TOLD = 300
_NO_KEY = "none"
"""The client insists on a key, and a server that wants none doesn't look at it."""


@dataclass(frozen=True, slots=True)
class _Line:
    """What belongs to one event loop: connections, and places for requests."""

    client: Any
    places: asyncio.Semaphore


class ChatEndpoint:
    """A chat model behind a URL. Several event loops may use it, each with its own connections.

    Args:
        url: Where the API begins, such as "http://127.0.0.1:8000/v1".
        model: The model's name there.
        key: What the server asks for; the environment variable OPENAI_API_KEY if None.
        temperature: How `write` samples; 0 is greedy.
        max_tokens: Longest answer to `write`, in tokens.
        seconds: How long the server may be silent; it is then asked again.
        retries: How often a server that is busy, failing or away is asked again, each time after a
            longer pause of up to 8 seconds, or after the one that it asks for.
        at_once: Most requests of an event loop at a time, pauses included; 32 if None, and no more
            than `per_minute`.
        per_minute: Most requests per minute, repeated ones included; None for no limit.
        extra: Further fields of every request. They win over all others, and None leaves a field
            out that would be sent.
        price: What tokens cost, as (prompt, completion) in dollars per million.

    Raises:
        MissingDependencyError: If the openai package is not installed.
        UsageError: If the URL is none, or a number is out of range.
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
        retries: int = 10,
        at_once: int | None = None,
        per_minute: float | None = None,
        extra: Mapping[str, Any] | None = None,
        price: Sequence[float] | None = None,
    ) -> None:
        self._host = _host(url)
        try:
            import openai
        except ImportError as fault:
            raise MissingDependencyError("openai", "openai") from fault
        _need_above_zero("seconds", seconds)
        _need_whole("retries", retries, 0)
        if per_minute is not None:
            _need_above_zero("per_minute", per_minute)
        self._pace = None if per_minute is None else Pace(per_minute)
        if at_once is None:
            at_once = max(1, int(min(_AT_ONCE, per_minute or _AT_ONCE)))
        _need_whole("at_once", at_once, 1)
        self.name = model
        self.url = url.rstrip("/")
        self.at_once = at_once
        self._key = (os.environ.get("OPENAI_API_KEY") if key is None else key) or _NO_KEY
        self._temperature, self._max_tokens = temperature, max_tokens
        self._seconds, self._retries = seconds, retries
        self._timeout = openai.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds))
        self._extra = _fields({} if extra is None else extra)
        self._meter = Meter(None if price is None else Price.of(price))
        self._pictures = Pictures()
        self._lock = threading.Lock()
        self._lines: dict[asyncio.AbstractEventLoop, _Line] = {}

    @property
    def usage(self) -> Usage:
        """What its answers have used so far."""
        return self._meter.usage

    async def ask(
        self, messages: Sequence[Message], options: Mapping[str, Any] | None = None
    ) -> ChatAnswer:
        """Return the model's answer.

        Args:
            messages: The chat so far.
            options: Further fields of the request, such as {"temperature": 0.5}.

        Raises:
            InfraError: If the server is away, or busy each time that it is asked.
            PolicyError: If it doesn't take this chat, or answers with something else.
            UsageError: If it doesn't take the key, the model or the path.
        """
        fields = {**(options or {}), **self._extra}
        fields = {name: value for name, value in fields.items() if value is not None}
        if any("image" in message for message in messages):
            # On a thread: a large screenshot takes longer than others should wait.
            messages = await asyncio.to_thread(self._pictures.shown, messages)
        line = self._line()
        async with line.places:
            answer = await self._sent(line.client, list(messages), fields)
        self._meter.count(getattr(answer, "usage", None))
        try:
            return ChatAnswer.read(answer)
        except ValueError as fault:
            told = _short(str(answer))
            raise PolicyError(f"{self.url} answered with something else: {told}") from fault

    async def write(self, messages: Sequence[Message]) -> str:
        """Return the model's answer, a whole text.

        Args:
            messages: The chat so far.

        Raises:
            UnscriptedError: If the answer is cut short by `max_tokens`.
            InfraError: If the server is away, or busy each time that it is asked.
            PolicyError: If it doesn't take this chat, or answers with something else.
            UsageError: If it doesn't take the key, the model or the path.
        """
        sampling = {"temperature": self._temperature, "max_tokens": self._max_tokens}
        answer = await self.ask(messages, sampling)
        if answer.cut_short:
            told = f"the model wrote more than {self._max_tokens} tokens"
            raise UnscriptedError("answer cut short", told)
        if answer.text is None:
            raise PolicyError(f"{self.url} answered with something else: no text")
        return answer.text

    async def close(self) -> None:
        """Close this event loop's connections; may be called more than once."""
        with self._lock:
            line = self._lines.pop(asyncio.get_running_loop(), None)
        if line is not None:
            await line.client.close()

    def _line(self) -> _Line:
        loop = asyncio.get_running_loop()
        with self._lock:
            # Connections end with their loop, and can't be closed once it has.
            self._lines = {one: line for one, line in self._lines.items() if not one.is_closed()}
            if loop not in self._lines:
                self._lines[loop] = _Line(self._client(), asyncio.Semaphore(self.at_once))
            return self._lines[loop]

    def _client(self) -> Any:
        import openai

        # A hook, so that what the client repeats of its own accord keeps the pace as well.
        hooks = [] if self._pace is None else [self._keep_pace]
        return openai.AsyncOpenAI(
            base_url=self.url,
            api_key=self._key,
            max_retries=self._retries,
            timeout=self._timeout,
            http_client=openai.DefaultAsyncHttpxClient(
                # A proxy for the web is no way to this machine.
                trust_env=self._host not in _LOCAL,
                event_hooks={"request": hooks},
            ),
        )

    async def _keep_pace(self, _request: Any) -> None:
        assert self._pace is not None
        await self._pace.wait()

    async def _sent(self, client: Any, chat: list[Message], fields: dict[str, Any]) -> Any:
        import openai

        # The client's limit is on silence. A server that drips would never meet it.
        limit = (self._retries + 1) * (self._seconds + _LONGEST_PAUSE)
        clock = TaskLimit(limit)
        try:
            with clock:
                return await client.chat.completions.create(
                    messages=chat, model=self.name, extra_body=fields
                )
        except TimeoutError as fault:
            if not clock.expired:
                raise
            raise InfraError(f"{self.url} did not finish its answer in {limit:g} s") from fault
        except openai.APITimeoutError as fault:
            raise InfraError(f"{self.url} did not answer within {self._seconds:g} s") from fault
        except openai.APIConnectionError as fault:
            raise InfraError(f"{self.url} can't be reached: {fault.__cause__ or fault}") from fault
        except openai.APIStatusError as fault:
            raise self._refusal(
                fault.status_code, fault.response.text, with_tools="tools" in fields
            ) from fault
        except (openai.OpenAIError, ValueError) as fault:
            raise PolicyError(f"{self.url} answered with something else: {fault}") from fault

    def _refusal(self, status: int, body: str, *, with_tools: bool) -> Exception:
        told = f"{status} {_short(body)}".strip()
        if status >= 500 or (status in _BUSY and _SPENT not in body):
            return InfraError(f"{self.url} was busy or failing each time: {told}")
        # vLLM says 400, OpenRouter 404.
        hint = " If it takes no tools, pass tools=False." if with_tools else ""
        if status in _REFUSED or _SPENT in body:
            return UsageError(
                f"{self.url} refuses: {told}. Look at the URL, the model's name and the key in "
                f"OPENAI_API_KEY.{hint}"
            )
        return PolicyError(f"{self.url} does not take this request: {told}{hint}")


def _host(url: str) -> str:
    """Return a URL's host.

    Raises:
        UsageError: If it is none, or not one of a web server.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts = host = None
    if parts is None or not host or parts.scheme not in ("http", "https"):
        raise UsageError(
            f"A chat endpoint needs a URL such as http://127.0.0.1:8000/v1, got {url!r}"
        )
    return host


def _fields(extra: object) -> dict[str, Any]:
    if not isinstance(extra, Mapping):
        raise UsageError(f"extra must name fields of a request and their values, got {extra!r}")
    return dict(cast("Mapping[str, Any]", extra))


def _need_above_zero(name: str, value: object) -> None:
    if not isinstance(value, int | float) or not value > 0:
        raise UsageError(f"{name} must be a number above 0, got {value!r}")


def _need_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise UsageError(f"{name} must be a whole number of {least} or more, got {value!r}")


def _short(text: str) -> str:
    return " ".join(text.split())[:_MOST_TOLD]
