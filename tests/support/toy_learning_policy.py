"""Policies of somebody else's: one that samples for a trainer, and one that can't."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from agentgym.policies.transformers import TransformersPolicy
from agentgym.policy import Completion, Request


class Elsewhere:
    """Stands for a policy that samples on another machine, from weights that are sent there.

    All that a trainer may use of it is written down here.
    """

    def __init__(self, model: Any, tokenizer: Any, *, shards: int = 1, **settings: Any) -> None:
        self.model, self.copy = model, deepcopy(model)
        self.inner = TransformersPolicy(self.copy, tokenizer, **settings)
        self.shards, self.settings = shards, settings
        self.calls: list[str] = []

    @property
    def template(self) -> Any:
        return self.inner.template

    @property
    def context_length(self) -> int | None:
        return self.inner.context_length

    @property
    def episodes_at_once(self) -> int | None:
        return self.inner.episodes_at_once

    @property
    def wants_expert(self) -> None:
        return None

    @property
    def policy_version(self) -> int:
        return self.inner.policy_version

    @policy_version.setter
    def policy_version(self, version: int) -> None:
        self.calls.append(f"version {version}")
        self.inner.policy_version = version

    @contextmanager
    def updating(self) -> Generator[None]:
        self.calls.append("update")
        with self.inner.updating():
            yield
            self.copy.load_state_dict(self.model.state_dict())

    def drop_prefixes(self) -> None:
        self.calls.append("drop")
        self.inner.drop_prefixes()

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.calls.append("generate")
        return await self.inner.generate(requests)

    def release(self, episode: str) -> None:
        self.inner.release(episode)

    async def close(self) -> None:
        self.calls.append("close")
        await self.inner.close()


class Deaf:
    """Takes a model, and can't be told that its weights change."""

    def __init__(self, model: Any, tokenizer: Any, **settings: Any) -> None:
        del model, tokenizer, settings
