"""`ClipObservation`: keep a long text's head and tail, and say what is missing between them."""

from typing import Any

from agentgym.env import AgentEnv, Observation
from agentgym.errors import UsageError
from agentgym.spaces import Unicode
from agentgym.wrappers.base import AgentWrapper, StepResult

_SHORTEST = 100
"""Room for the notice and something around it."""


class ClipObservation(AgentWrapper):
    """Limits the observation's text to `max_chars` characters.

    A longer text keeps its head and its tail, with a line between them that says how many
    characters of how many are missing, so that the model knows that it doesn't see everything. The
    line counts towards the limit. Images and `info` are left alone.

    Args:
        env: The environment.
        max_chars: Most characters (code points) of a text, at least 100.
        head: Share of what is kept that comes from the text's beginning, from 0 to 1.

    Raises:
        UsageError: If `max_chars` or `head` is out of range.

    Example:
        >>> import agentgym
        >>> from agentgym.wrappers import ClipObservation
        >>> env = ClipObservation(agentgym.make("agentgym/ALFWorld-v0"), max_chars=2000)
        >>> env.observation_space["text"].max_length
        2000
    """

    def __init__(self, env: AgentEnv | AgentWrapper, max_chars: int, head: float = 0.5) -> None:
        if max_chars < _SHORTEST:
            raise UsageError(f"max_chars must be at least {_SHORTEST}, got {max_chars}")
        if not 0 <= head <= 1:
            raise UsageError(f"head must be from 0 to 1, got {head}")
        super().__init__(env, max_chars=max_chars, head=head)
        self.max_chars, self.head = max_chars, head
        space: Any = env.observation_space
        inner: Unicode = space["text"]
        if inner.max_length is None or inner.max_length > max_chars:
            text = Unicode(max_chars, min_length=min(inner.min_length, max_chars))
            self.observation_space = type(space)({**space.spaces, "text": text})

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; the first text is clipped, too."""
        observation, info = super().reset(seed=seed, options=options)
        return self._clipped(observation), info

    def step(self, action: str) -> StepResult:
        """Take one turn."""
        observation, reward, terminated, truncated, info = super().step(action)
        return self._clipped(observation), reward, terminated, truncated, info

    def _clipped(self, observation: Observation) -> Observation:
        clipped: Observation = {**observation, "text": self.clip(observation["text"])}
        return clipped

    def clip(self, text: str) -> str:
        """Return the text, clipped if it is too long."""
        total = len(text)
        if total <= self.max_chars:
            return text
        # The notice's length depends on the number in it, which depends on the notice's length;
        # made for the largest number it is at most a digit or two longer than it need be.
        room = self.max_chars - len(_notice(total, total))
        first = round(room * self.head)
        last = room - first
        return text[:first] + _notice(total - room, total) + text[total - last :]


def _notice(cut: int, total: int) -> str:
    return f"\n[… {cut} of {total} characters are left out here …]\n"
