"""Trajectories to store: arbitrary ones, ones that a seed gives back, and what "the same" means."""

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agentgym.policy import FinishReason
from agentgym.stop_reason import StopReason
from agentgym.tool import ToolCall
from agentgym.trajectory import Trajectory, Turn


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal to the last bit and type; NaN equals NaN."""
    if isinstance(left, np.ndarray):
        return (
            isinstance(right, np.ndarray)
            and left.dtype == right.dtype
            and left.shape == right.shape
            and left.tobytes() == right.tobytes()
        )
    if type(left) is not type(right):
        return False
    if is_dataclass(left):
        return all(same(getattr(left, f.name), getattr(right, f.name)) for f in fields(left))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return repr(left) == repr(right)
    return left == right


def episode(seed: int, turns: int = 3, tokens: int = 16, image_side: int = 0, **given: Any):
    """Return the trajectory of a seed; the same every time."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(turns):
        n = int(rng.integers(1, tokens + 1))
        turn = Turn(
            observation=f"You are in room {rng.integers(100)}. ✓",
            action=f"go to door {rng.integers(100)}",
            reward=float(rng.normal()),
            prompt_ids=rng.integers(0, 150_000, n, dtype=np.int32),
            completion_ids=rng.integers(0, 150_000, n, dtype=np.int32),
            logprobs=-rng.exponential(size=n).astype(np.float32),
            starts_sequence=k == 0,
            policy_version=k,
        )
        if image_side:
            turn.image = rng.integers(0, 256, (image_side, image_side, 3), dtype=np.uint8)
        made.append(turn)
    values = {
        "env_id": "test/Rooms-v0",
        "task_id": f"task-{seed % 5}",
        "stop_reason": StopReason.SUCCESS if seed % 2 else StopReason.TURN_LIMIT,
        "id": f"episode-{seed}",
        "group_id": f"group-{seed // 4}",
        "seed": seed,
        "success": bool(seed % 2),
        "metrics": {"doors": float(seed)},
        "meta": {"step": seed // 8},
    }
    return Trajectory(turns=made, **{**values, **given})


_texts = st.text(st.characters(), max_size=20)  # lone surrogates included
_floats = st.floats(width=64)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | _floats | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)
_objects = st.dictionaries(_texts, _json, max_size=3)
_ids = hnp.arrays(np.int32, st.integers(0, 6))
_float32 = hnp.arrays(np.float32, st.integers(0, 6), elements=st.floats(width=32))
_images = hnp.arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 4), st.just(3)))
_extra_arrays = st.dictionaries(
    _texts,
    _float32
    | hnp.arrays(np.float64, st.tuples(st.integers(0, 3), st.integers(0, 3)))
    | hnp.arrays(st.sampled_from([np.int64, np.bool_, np.float16]), st.integers(0, 4)),
    max_size=3,
)
_turns = st.builds(
    Turn,
    observation=_texts,
    action=_texts,
    reward=_floats,
    image=st.none() | _images,
    prompt_ids=_ids,
    completion_ids=_ids,
    logprobs=_float32,
    starts_sequence=st.booleans(),
    finish=st.sampled_from(FinishReason),
    policy_version=st.integers(-1, 2**40),
    calls=st.lists(st.builds(ToolCall, _texts, _objects), max_size=2).map(tuple),
    action_error=st.none() | _texts,
    generate_seconds=_floats,
    step_seconds=_floats,
    value=st.none() | _floats,
    advantage=st.none() | _floats,
    arrays=_extra_arrays,
)
trajectories = st.builds(
    Trajectory,
    env_id=_texts,
    task_id=_texts,
    stop_reason=st.sampled_from(StopReason),
    turns=st.lists(_turns, max_size=4),
    id=_texts,
    goal=_texts,
    seed=st.none() | st.integers(0, 2**70),
    group_id=_texts,
    success=st.booleans(),
    instructions=_texts,
    tools=st.lists(_objects, max_size=2),
    final_observation=_texts,
    final_ids=_ids,
    final_image=st.none() | _images,
    final_starts_sequence=st.booleans(),
    metrics=st.dictionaries(_texts, _floats, max_size=3),
    error=st.none() | _texts,
    attempts=st.integers(1, 9),
    started=_floats,
    seconds=_floats,
    reset_seconds=_floats,
    meta=_objects,
)
"""Arbitrary trajectories: every field, with whatever its type admits."""
