"""A trajectory as a chat: OpenAI's messages and tools, and what became of it in further keys.

The assistant's messages are what the model wrote, verbatim, tool calls included, since that is what
it is to learn to write. An image stands in its message by address.
"""

from collections.abc import Sequence
from typing import Any

from agentgym.trajectory import Trajectory


def chat_row(trajectory: Trajectory, images: Sequence[str | None] | None = None) -> dict[str, Any]:
    """Return a trajectory as one row of a chat data set.

    Args:
        trajectory: The trajectory.
        images: Per turn, the address of its image, or None; without it contents are plain text,
            with it they are lists of parts (a column can't hold both).
    """
    row: dict[str, Any] = {"messages": messages(trajectory, images)}
    if trajectory.tools:
        row["tools"] = trajectory.tools
    return row | {
        "id": trajectory.id,
        "env_id": trajectory.env_id,
        "task_id": trajectory.task_id,
        "group_id": trajectory.group_id,
        "seed": trajectory.seed,
        "step": trajectory.meta.get("step"),
        "goal": trajectory.goal,
        "success": bool(trajectory.success),
        "reward": trajectory.reward,
        "rewards": [float(turn.reward) for turn in trajectory.turns],
        "exploratory": [turn.exploratory for turn in trajectory.turns],
        "stop_reason": str(trajectory.stop_reason),
        "error": trajectory.error,
        "final_observation": trajectory.final_observation,
    }


def messages(
    trajectory: Trajectory, images: Sequence[str | None] | None = None
) -> list[dict[str, Any]]:
    """Return the system prompt, the observations (user) and the actions (assistant).

    Args:
        trajectory: The trajectory.
        images: As for `chat_row`.
    """
    chat: list[dict[str, Any]] = []
    if trajectory.instructions:
        chat.append(_message("system", trajectory.instructions, images is not None))
    for k, turn in enumerate(trajectory.turns):
        address = images[k] if images is not None else None
        chat.append(_message("user", turn.observation, images is not None, address))
        chat.append(_message("assistant", turn.action, images is not None))
    return chat


def _message(role: str, text: str, parts: bool, address: str | None = None) -> dict[str, Any]:
    if not parts:
        return {"role": role, "content": text}
    content: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if address is not None:
        content.insert(0, {"type": "image_url", "image_url": {"url": address}})
    return {"role": role, "content": content}
