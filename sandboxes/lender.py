"""`Lender`: a sandbox server as its client sees it: requests, and what its answers mean.

A request is a `Call`, which is the same for a client that blocks and one that doesn't. An answer
with a `Retry-After` says that nothing has run, so the request may be sent again; nothing else does.
"""

import json
import random
import ssl
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import httpx

from agentgym.backoff import Backoff
from agentgym.errors import AgentGymError, DataError, InfraError, UsageError
from agentgym.server.messages import Fault

ClientT = TypeVar("ClientT", httpx.Client, httpx.AsyncClient)

_CONNECT_SECONDS = 10.0
_BACKOFF = Backoff(first=0.1, factor=2.0, most=5.0)
# Less than the server's 75 s: a request on a connection that it is just closing would fail.
_KEEP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Call:
    """A request.

    Attributes:
        method: Of HTTP.
        path: Below the server's URL.
        seconds: How long its answer may take.
        query: What follows the path.
        content: The body.
        is_json: Whether that is JSON.
    """

    method: str
    path: str
    seconds: float
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    content: bytes = b""
    is_json: bool = False

    @classmethod
    def posting(cls, path: str, body: Mapping[str, Any], seconds: float) -> "Call":
        """Return a request whose body is JSON."""
        return cls("POST", path, seconds, content=json.dumps(body).encode(), is_json=True)

    def arguments(self) -> dict[str, Any]:
        """Return it as httpx takes it."""
        kind = "application/json" if self.is_json else "application/octet-stream"
        return {
            "method": self.method,
            "url": self.path,
            "params": self.query,
            "content": self.content,
            "headers": {"Content-Type": kind} if self.content else {},
            "timeout": httpx.Timeout(self.seconds, connect=min(self.seconds, _CONNECT_SECONDS)),
        }


class Patience:
    """How long a server that has no room is asked again.

    Args:
        seconds: In all.
    """

    def __init__(self, seconds: float) -> None:
        self._due = time.monotonic() + seconds
        self._refusals = 0
        self._rng = random.Random()

    def delay(self, answer: httpx.Response) -> float | None:
        """Return after how many seconds to ask again; None if the answer stands."""
        least = answer.headers.get("retry-after", "")
        if answer.status_code not in (429, 503) or not least.isdigit():
            return None
        self._refusals += 1
        delay = int(least) * self._rng.uniform(1, 2) + _BACKOFF.seconds(self._refusals, self._rng)
        return delay if time.monotonic() + delay < self._due else None


class Lender:
    """A sandbox server.

    Args:
        url: Where it is.
        token: What it asks for.

    Raises:
        UsageError: If the URL is none.
    """

    def __init__(self, url: str, token: str | None) -> None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(
                f"A remote sandbox needs the URL of a server, as in url=http://127.0.0.1:8080; got "
                f"{url!r}. `agentgym serve sandbox` starts a server"
            )
        self.url = url.rstrip("/")
        self._token = token

    def client(self, kind: type[ClientT]) -> ClientT:
        """Return a client of either kind, which connects when it is used."""
        return kind(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self._token}"} if self._token else None,
            # Loading certificates takes 70 ms, and every box has its clients.
            verify=_certificates() if self.url.startswith("https") else False,
            # A proxy for the web is no way to a sandbox server, and looking for one takes 1 ms.
            trust_env=False,
            limits=httpx.Limits(keepalive_expiry=_KEEP_SECONDS),
        )

    @contextmanager
    def reached(self) -> Generator[None]:
        """Turn what goes wrong on the way into errors of ours."""
        try:
            yield
        except httpx.TimeoutException as fault:
            raise InfraError(f"The sandbox server {self.url} did not answer in time") from fault
        except (httpx.HTTPError, httpx.StreamError) as fault:
            raise InfraError(f"The sandbox server {self.url} can't be reached: {fault}") from fault
        except httpx.InvalidURL as fault:
            raise UsageError(f"The URL {self.url} is none: {fault}") from fault

    def checked(self, answer: httpx.Response) -> httpx.Response:
        """Return an answer that is none of the server's errors.

        Raises:
            UsageError: If the request was wrong.
            DataError: If a file was.
            InfraError: If anything else was.
        """
        if answer.is_success:
            return answer
        raise self._error(answer)

    def _error(self, answer: httpx.Response) -> AgentGymError:
        try:
            told = answer.json()["error"]
            kind, message = Fault(told["kind"]), str(told["message"])
        except (ValueError, LookupError, TypeError):
            # Not ours: a proxy's, most likely.
            text = " ".join(answer.text.split())[:200]
            return InfraError(f"{self.url} answered {answer.status_code}: {text}")
        if kind is Fault.TOKEN:
            return UsageError(f"{self.url}: {message}; give token=… or set AGENTGYM_TOKEN")
        known = {Fault.REQUEST: UsageError, Fault.DATA: DataError}
        return known.get(kind, InfraError)(message)


@cache
def _certificates() -> ssl.SSLContext:
    return ssl.create_default_context()
