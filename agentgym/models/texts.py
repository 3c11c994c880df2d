"""`expert_texts`: what an environment and its expert write, for training a tokenizer on."""

from collections.abc import Iterator
from typing import Any

from agentgym import registry
from agentgym.errors import UsageError


def expert_texts(
    env_id: str, episodes: int, *, seed: int = 0, max_turns: int = 50, **kwargs: Any
) -> Iterator[str]:
    """Play an environment with its first expert and yield every text that is read or written.

    Args:
        env_id: The environment's id.
        episodes: How many episodes; tasks are drawn by seed.
        seed: Seeds the first episode; the next ones count up from it.
        max_turns: Longest episode.
        **kwargs: The environment's options.

    Yields:
        Instructions, observations and actions, in the order in which they appear.

    Raises:
        UsageError: If the environment has no expert.
    """
    options: dict[str, Any] = {"expert": True, **kwargs}
    env = registry.make(env_id, **options)
    if not env.experts:
        raise UsageError(f"{env_id} has no expert to take texts from; pass texts of your own.")
    try:
        yield env.instructions
        for episode in range(episodes):
            observation, info = env.reset(seed=seed + episode)
            for _ in range(max_turns):
                yield observation["text"]
                action = info["expert_action"]
                if action is None:
                    break
                yield action
                observation, _, terminated, truncated, info = env.step(action)
                if terminated or truncated:
                    yield observation["text"]
                    break
    finally:
        env.close()
