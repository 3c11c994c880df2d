"""`Usage`: what a policy that is paid by the token has used; `Metered`: policies that count it."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from agentgym.errors import UsageError


@dataclass(frozen=True, slots=True)
class Price:
    """What tokens cost, in dollars per million.

    Attributes:
        prompt: Those that are sent.
        completion: Those that the model writes, hidden reasoning included.
    """

    prompt: float
    completion: float

    @classmethod
    def of(cls, pair: Sequence[float]) -> "Price":
        """Return the price that (prompt, completion) is.

        Raises:
            UsageError: If it is no such pair.
        """
        try:
            prompt, completion = (float(one) for one in pair)
        except (TypeError, ValueError):
            prompt = completion = -1.0
        if not (0 <= prompt < float("inf") and 0 <= completion < float("inf")):
            raise UsageError(
                "A price is two numbers, in dollars per million tokens of prompts and of "
                f"completions, such as (0.5, 1.5); got {pair!r}"
            )
        return cls(prompt, completion)

    def dollars(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what so many tokens cost."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True, slots=True)
class Usage:
    """What has been used so far.

    Attributes:
        requests: Answers that came.
        prompt_tokens: What was sent, as the server counts it.
        completion_tokens: What the model wrote, hidden reasoning included.
        unmetered: Answers that came without a count; they are missing from the tokens.
        dollars: What the tokens cost; None where no price is known.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    unmetered: int = 0
    dollars: float | None = None


class Meter:
    """Adds up what answers used; several threads may.

    Args:
        price: What tokens cost, if that is known.
    """

    def __init__(self, price: Price | None = None) -> None:
        self._price = price
        self._lock = threading.Lock()
        self._usage = Usage(dollars=None if price is None else 0.0)

    @property
    def usage(self) -> Usage:
        """The sum so far."""
        return self._usage

    def count(self, told: Any) -> None:
        """Add an answer.

        Args:
            told: What the server says of it, an object with `prompt_tokens` and
                `completion_tokens`, or anything else if it doesn't say.
        """
        prompt = getattr(told, "prompt_tokens", None)
        completion = getattr(told, "completion_tokens", None)
        with self._lock:
            old = self._usage
            if not isinstance(prompt, int) or not isinstance(completion, int):
                self._usage = replace(old, requests=old.requests + 1, unmetered=old.unmetered + 1)
                return
            prompt, completion = prompt + old.prompt_tokens, completion + old.completion_tokens
            price = self._price
            dollars = None if price is None else price.dollars(prompt, completion)
            self._usage = Usage(old.requests + 1, prompt, completion, old.unmetered, dollars)


@runtime_checkable
class Metered(Protocol):
    """A policy that counts what it uses; `agentgym eval` prints it."""

    @property
    def usage(self) -> Usage:
        """What has been used since the policy was made."""
        ...
