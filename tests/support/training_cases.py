"""What the trainers' tests train on: a two-layer model with 64 tokens, and random trajectories."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from agentgym.stop_reason import StopReason
from agentgym.trainers.attention import VARLEN, register_varlen
from agentgym.trajectory import Trajectory, Turn

VOCABULARY = 64


def tiny_model(
    *, seed: int = 0, dtype: torch.dtype = torch.float64, attention: str = VARLEN, **config: Any
) -> PreTrainedModel:
    """Return a random two-layer Qwen3 whose distributions are far from uniform."""
    register_varlen()
    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 256,
        "initializer_range": 0.5,
    }
    shape |= {"attn_implementation": attention, **config}
    model = Qwen3ForCausalLM(Qwen3Config(**shape))
    nn.Module.to(model, dtype)
    return model.eval()


def trajectory(
    rewards: Sequence[float],
    *,
    group: str = "g",
    stop: StopReason = StopReason.SUCCESS,
    actions: Sequence[int] | None = None,
    observation: int = 3,
    split: bool = False,
    seed: int = 0,
) -> Trajectory:
    """Return a trajectory of random tokens.

    Args:
        rewards: One per turn.
        group: Its group.
        stop: Why it ended.
        actions: Sampled tokens of each turn; 4 each by default.
        observation: Prompt tokens before each turn.
        split: Whether every turn starts a sequence of its own.
        seed: Fixes the tokens.
    """
    rng = np.random.default_rng(seed)
    actions = [4] * len(rewards) if actions is None else actions
    turns = [
        Turn(
            observation="o",
            action="a",
            reward=reward,
            prompt_ids=rng.integers(0, VOCABULARY, observation).astype(np.int32),
            completion_ids=rng.integers(0, VOCABULARY, n).astype(np.int32),
            logprobs=(-3 * rng.random(n)).astype(np.float32),
            starts_sequence=split or k == 0,
        )
        for k, (reward, n) in enumerate(zip(rewards, actions, strict=True))
    ]
    return Trajectory("toy", "task", stop, turns, group_id=group)


def mixed_trajectories() -> list[Trajectory]:
    """Return two groups with everything in them.

    Trajectories of unequal length, one in several rows, one cut short by a limit, one that the
    world failed, and a reward in the middle.
    """
    return [
        trajectory([0.0, 1.0], actions=[3, 5], group="a", seed=1),
        trajectory([0.0], actions=[2], group="a", stop=StopReason.FAILURE, seed=2),
        trajectory([0.25, 0.0, 0.5], actions=[4, 1, 2], group="a", split=True, seed=3),
        trajectory([9.0, 9.0], group="a", stop=StopReason.INFRA_ERROR, seed=4),
        trajectory([0.0, 0.0], actions=[6, 2], group="b", stop=StopReason.TURN_LIMIT, seed=5),
        trajectory([0.0, 0.0, 2.0], actions=[1, 1, 7], group="b", seed=6),
    ]
