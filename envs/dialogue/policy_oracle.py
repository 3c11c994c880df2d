"""`PolicyOracle`: a policy, such as a language model, that answers in the table's place.

It is asked every question afresh, in a conversation of two messages: who it is, with the secret,
and the question. What decides the game is no matter of opinion and stays with the table: a question
that names an entry, as a guess does, is answered from the table and never put to the policy, so a
model that is talked into a "Yes." gives no reward away. Where an answer says the secret's name,
something else is put in its place.
"""

import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentgym.chat_template import Ids
from agentgym.envs.dialogue.answers import without
from agentgym.envs.dialogue.lending import lender
from agentgym.envs.dialogue.oracle import Answer, Table
from agentgym.envs.dialogue.policy_loop import policy_loop
from agentgym.errors import PolicyError, UsageError
from agentgym.message import Message
from agentgym.policy import Policy, Request, Sampling
from agentgym.seeding import stable_seed

LONGEST = 500
"""Characters of a question; a longer one is not put to the policy. What a player writes must not be
able to fill a context, which would be taken for a failure of the world."""
_MOST_TOKENS = 512  # leaves room for a model that thinks first


@dataclass(frozen=True, slots=True)
class Role:
    """How a policy is asked to answer, and how that is read.

    Attributes:
        instructions: The system prompt, with "{secret}".
        read: Makes the answer of what the policy wrote; None if it is none.
        lost: What the player is told where there is no answer.
        instead: What stands in an answer where the secret's name stood.
    """

    instructions: str
    read: Callable[[str], str | None]
    lost: str
    instead: str = "it"


class PolicyOracle:
    """A policy that answers.

    Args:
        policy: A policy, which stays the caller's, or the name of one (see `make_policy`), which is
            made by `open` and shared with every other oracle of this process that has this name.
        table: Decides what is a guess, and whether it is right.
        role: How it is asked.
        options: Arguments for making the policy.
        seconds: How long one answer may take.

    Raises:
        UsageError: If the arguments don't suit each other.
    """

    def __init__(
        self,
        policy: Policy | str,
        table: Table,
        role: Role,
        *,
        options: Mapping[str, Any] | None = None,
        seconds: float = 60.0,
    ) -> None:
        if options and not isinstance(policy, str):
            raise UsageError("oracle_options go with the name of a policy; this one is made.")
        if not seconds > 0:
            raise UsageError(f"oracle_seconds must be above 0, got {seconds!r}")
        self._given, self._options = policy, dict(options or {})
        self._table, self._role, self._seconds = table, role, seconds
        self._policy: Policy | None = None
        self.name = policy if isinstance(policy, str) else type(policy).__name__

    def open(self) -> None:
        """Get the policy; nothing if it is there already.

        Raises:
            UsageError: If there is no such policy, or it needs an environment's expert.
        """
        if self._policy is None:
            given = self._given
            named = isinstance(given, str)
            policy = lender.borrow(given, self._options) if named else given
            self._policy = policy
            if policy.wants_expert:
                self.close()
                raise UsageError(
                    f"The oracle {self.name} goes by what an environment's expert says, and an "
                    "oracle has none to ask. Use a language model."
                )

    def close(self) -> None:
        """Close the policy if it was made here and nobody else uses it; may be called again."""
        policy, self._policy = self._policy, None
        if policy is not None and isinstance(self._given, str):
            lender.give_back(policy)

    def answer(self, secret: str, question: str) -> Answer:
        """Answer a question; a guess as the table does.

        Raises:
            InfraError: If the policy fails or takes too long.
            UsageError: If it can't be asked at all.
        """
        if self._table.named(question) is not None:
            return self._table.answer(secret, question)
        written = None
        if question.strip() and len(question) <= LONGEST:
            written = self._ask(secret, question)
        text = None if written is None else self._role.read(written)
        if text is None:
            return Answer(self._role.lost, understood=False)
        for name in self._table.names(secret):
            text = without(text, name, self._role.instead)
        return Answer(text)

    def _ask(self, secret: str, question: str) -> str | None:
        self.open()
        policy = self._policy
        assert policy is not None
        instructions = self._role.instructions.format(secret=secret)
        # Half a surrogate pair, which Python's text may hold, can't be sent anywhere.
        question = question.encode("utf-8", "replace").decode()
        return policy_loop.run(
            _written(policy, instructions, question),
            "answer",
            f"oracle {self.name}",
            self._seconds,
        )

    def __getstate__(self) -> dict[str, Any]:
        if not isinstance(self._given, str):
            raise UsageError(
                f"The oracle {self.name} is an object of this process. Keep the environment in "
                "thread workers, or name the policy, so that each process makes its own."
            )
        return {**self.__dict__, "_policy": None}


async def _written(policy: Policy, instructions: str, question: str) -> str | None:
    """Return what the policy writes; None where the question leaves no room for it."""
    messages = _chat(instructions, question)
    ids = None if policy.template is None else policy.template.prompt(messages)
    room = _room(policy, ids)
    if room < 1:
        shortest = None if policy.template is None else policy.template.prompt(_chat(instructions))
        if _room(policy, shortest) < 1:
            raise UsageError(f"Its context of {policy.context_length} is too short for an oracle.")
        return None
    request = Request(
        f"oracle-{os.getpid()}-{next(_numbers)}",
        messages,
        ids,
        # Seeded by what is asked, so that a policy that samples all the same repeats itself.
        Sampling(temperature=0.0, max_tokens=room, seed=stable_seed(instructions, question)),
    )
    try:
        completions = await policy.generate([request])
    finally:
        policy.release(request.episode)
    if len(completions) != 1:
        raise PolicyError(f"it gave {len(completions)} answers to one request")
    return completions[0].text


def _chat(instructions: str, question: str = "?") -> list[Message]:
    return [
        {"role": "system", "content": instructions},
        {"role": "user", "content": question},
    ]


def _room(policy: Policy, ids: Ids | None) -> int:
    """Return how many ids the answer to a prompt may have."""
    if ids is None or policy.context_length is None:
        return _MOST_TOKENS
    return min(_MOST_TOKENS, policy.context_length - len(ids))


_numbers = itertools.count(1)
