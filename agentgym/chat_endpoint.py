"""`ChatEndpoint`: any server that answers chats as OpenAI's API does. Messages in, text out.

vLLM, SGLang, llama.cpp and most hosted models are behind one. The `openai` client speaks to it and
asks a busy server again; what goes wrong in the end is told apart here: a server that is away or
stays busy is an `InfraError`, while a key or a model that it doesn't take is the caller's mistake,
and every further request would meet it.
"""

import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from agentgym.errors import InfraError, MissingDependencyError, PolicyError, UsageError
from agentgym.message import Message
from agentgym.scripts import UnscriptedError

_CONNECT_SECONDS = 10.0
_REFUSED = frozenset({401, 403, 404, 405})
_BUSY = frozenset({408, 409, 429})
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_MOST_TOLD = 300
_NO_KEY = "none"
"""The client insists on a key, and a server that wants none doesn't look at it."""


class ChatEndpoint:
    """A chat model behind a URL. Use it on one event loop, and close it there.

    Args:
        url: Where the API begins, such as "http://127.0.0.1:8000/v1".
        model: The model's name there.
        key: What the server asks for; the environment variable OPENAI_API_KEY if None.
        temperature: How it samples; 0 is greedy.
        max_tokens: Longest answer, in tokens.
        seconds: How long an answer may take.
        retries: How often a server that is busy, failing or away is asked again, each time after a
            longer pause of up to 8 seconds, or after the one that it asks for.

    Raises:
        MissingDependencyError: If the openai package is not installed.
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
        retries: int = 10,
    ) -> None:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            parts = host = None
        if parts is None or not host or parts.scheme not in ("http", "https"):
            raise UsageError(
                f"A chat endpoint needs a URL such as http://127.0.0.1:8000/v1, got {url!r}"
            )
        try:
            import openai
        except ImportError as fault:
            raise MissingDependencyError("openai", "openai") from fault
        self.name = model
        self.url = url.rstrip("/")
        self._temperature, self._max_tokens, self._seconds = temperature, max_tokens, seconds
        self._client = openai.AsyncOpenAI(
            base_url=self.url,
            api_key=(os.environ.get("OPENAI_API_KEY") if key is None else key) or _NO_KEY,
            max_retries=retries,
            timeout=openai.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds)),
            # A proxy for the web is no way to this machine.
            http_client=openai.DefaultAsyncHttpxClient(trust_env=host not in _LOCAL),
        )

    async def write(self, messages: Sequence[Message]) -> str:
        """Return the model's answer.

        Args:
            messages: The chat so far.

        Raises:
            UnscriptedError: If the answer is cut short by `max_tokens`.
            InfraError: If the server is away, or busy each time that it is asked.
            PolicyError: If it doesn't take this chat, or answers with something else.
            UsageError: If it doesn't take the key, the model or the path.
        """
        import openai

        chat: Any = list(messages)
        try:
            answer = await self._client.chat.completions.create(
                messages=chat,
                model=self.name,
                temperature=self._temperature,
                max_tokens=self._max_tokens,
            )
        except openai.APITimeoutError as fault:
            raise InfraError(f"{self.url} did not answer within {self._seconds:g} s") from fault
        except openai.APIConnectionError as fault:
            raise InfraError(f"{self.url} can't be reached: {fault.__cause__ or fault}") from fault
        except openai.APIStatusError as fault:
            raise self._refusal(fault.status_code, fault.response.text) from fault
        except (openai.OpenAIError, ValueError) as fault:
            raise PolicyError(f"{self.url} answered with something else: {fault}") from fault
        return self._text(answer)

    async def close(self) -> None:
        """Close the connections; may be called more than once."""
        await self._client.close()

    def _refusal(self, status: int, body: str) -> Exception:
        told = f"{status} {_short(body)}".strip()
        if status in _REFUSED:
            return UsageError(
                f"{self.url} refuses: {told}. Look at the URL, the model's name and the key in "
                "OPENAI_API_KEY."
            )
        if status in _BUSY or status >= 500:
            return InfraError(f"{self.url} was busy or failing each time: {told}")
        return PolicyError(f"{self.url} does not take this request: {told}")

    def _text(self, answer: Any) -> str:
        # Servers that are almost like OpenAI's leave things out, and the client lets it pass.
        try:
            choice = answer.choices[0]
            text, finish = choice.message.content, choice.finish_reason
        except (LookupError, TypeError, AttributeError):
            text = finish = None
        if finish == "length":
            told = f"the model wrote more than {self._max_tokens} tokens"
            raise UnscriptedError("answer cut short", told)
        if not isinstance(text, str):
            raise PolicyError(f"{self.url} answered with something else: {_short(str(answer))}")
        return text


def _short(text: str) -> str:
    return " ".join(text.split())[:_MOST_TOLD]
