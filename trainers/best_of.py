"""`BestOf`: a policy that says what a critic likes best of several answers of another policy.

CHAI's way to act (arXiv 2204.08426), and ArCHer's baseline: nothing about the policy changes, what
it knows is in the critic.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from agentgym.chat_template import ChatTemplate
from agentgym.errors import PolicyError
from agentgym.policy import Completion, Policy, Request
from agentgym.seeding import stable_seed
from agentgym.trajectory import Ids

Score = Callable[[Ids, Sequence[Ids]], Tensor]
"""Judges several answers at one state: (T,) ids and N times (n,) ids to (N,) values."""


class BestOf:
    """Samples `count` answers to each request and gives the one with the highest score.

    Args:
        policy: Samples; must have tokens. It stays the caller's.
        score: Judges answers. Of equal ones the first is given.
        count: How many.
    """

    def __init__(self, policy: Policy, score: Score, count: int) -> None:
        self.policy, self.score, self.count = policy, score, count

    @property
    def template(self) -> ChatTemplate | None:
        """The policy's."""
        return self.policy.template

    @property
    def context_length(self) -> int | None:
        """The policy's."""
        return self.policy.context_length

    @property
    def episodes_at_once(self) -> int | None:
        """As many as the policy serves with `count` answers each."""
        most = self.policy.episodes_at_once
        return None if most is None else max(most // self.count, 1)

    @property
    def wants_expert(self) -> bool | str | None:
        """The policy's."""
        return self.policy.wants_expert

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests, in order.

        Raises:
            PolicyError: If a request has no prompt ids, or the policy can't answer.
            InfraError: If what the policy runs on failed.
        """
        asked = [self._variant(request, i) for request in requests for i in range(self.count)]
        answers = await self.policy.generate(asked)
        best: list[Completion] = []
        for number, request in enumerate(requests):
            if request.prompt_ids is None:
                raise PolicyError("A critic judges ids, and this policy has no tokens.")
            offered = answers[number * self.count : (number + 1) * self.count]
            scores = self.score(request.prompt_ids, [answer.ids for answer in offered])
            best.append(offered[int(scores.argmax())])
        return best

    def release(self, episode: str) -> None:
        """Forget an episode that ended."""
        for i in range(self.count):
            self.policy.release(_named(episode, i))

    async def close(self) -> None:
        """Do nothing: the policy is its owner's to close."""

    def _variant(self, request: Request, number: int) -> Request:
        seed = request.sampling.seed
        if number > 0 and seed is not None:
            seed = stable_seed(seed, number)
        sampling = replace(request.sampling, seed=seed)
        return replace(request, episode=_named(request.episode, number), sampling=sampling)


def _named(episode: str, number: int) -> str:
    return episode if number == 0 else f"{episode}/{number}"
