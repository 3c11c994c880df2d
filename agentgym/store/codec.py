"""How a trajectory becomes a frame's body and back, exactly.

    zstd( length of the document, uint32 | document, JSON | columns )

The document has the trajectory's own fields, and each of the turns' scalars as one list over the
turns. Texts and arrays of the turns are columns: the values of all turns behind each other, and
their lengths in the document (-1 where a turn has none). Log-probabilities stay float32: the drift
between rollout and learner is a difference of 1e-3 and less, which half precision would invent.
Arrays keep the dtype that they were given, and lie in byte planes (all first bytes, then all second
ones, …): the high bytes of ids and the exponents of log-probabilities are alike, and so compress
better and faster.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from agentgym.env import Image
from agentgym.errors import StoreError
from agentgym.policy import FinishReason
from agentgym.stop_reason import StopReason
from agentgym.store.frame import from_json, to_json
from agentgym.tool import ToolCall
from agentgym.trajectory import Trajectory, Turn

Array = npt.NDArray[Any]

_LENGTH = struct.Struct("<I")
_TEXTS = ("observation", "action")
_ARRAYS = ("prompt_ids", "completion_ids", "logprobs")
_EXTRA = "arrays/"
_SCALARS = (
    "reward",
    "starts_sequence",
    "finish",
    "policy_version",
    "exploratory",
    "action_error",
    "generate_seconds",
    "step_seconds",
    "value",
    "advantage",
)
_FIELDS = (
    "env_id",
    "task_id",
    "stop_reason",
    "id",
    "goal",
    "seed",
    "group_id",
    "success",
    "instructions",
    "tools",
    "final_observation",
    "final_starts_sequence",
    "error",
    "attempts",
    "started",
    "seconds",
    "reset_seconds",
    "meta",
)


@dataclass(frozen=True, slots=True)
class Body:
    """What a body holds: a document, and columns by name.

    Attributes:
        document: JSON values.
        columns: Per column one value per turn: a text, an array, or None.
    """

    document: dict[str, Any]
    columns: dict[str, list[Any]]


def encode_trajectory(
    trajectory: Trajectory, image_hashes: Sequence[str | None], level: int
) -> bytes:
    """Return the body of a trajectory's frame.

    Args:
        trajectory: What to store.
        image_hashes: Per turn, the content hash of its image, and then that of the final one; None
            without one.
        level: zstd's level.

    Raises:
        StoreError: If a field holds what is neither a JSON value nor a numeric array.
    """
    turns = trajectory.turns
    document: dict[str, Any] = {name: getattr(trajectory, name) for name in _FIELDS}
    document["metrics"] = dict(trajectory.metrics)
    scalars: dict[str, Any] = {name: [getattr(turn, name) for turn in turns] for name in _SCALARS}
    scalars["calls"] = [
        [[call.name, dict(call.arguments)] for call in turn.calls] for turn in turns
    ]
    *scalars["image"], document["final_image"] = image_hashes
    columns: dict[str, list[Any]] = {
        name: [getattr(turn, name) for turn in turns] for name in (*_TEXTS, *_ARRAYS)
    }
    for name in dict.fromkeys(name for turn in turns for name in turn.arrays):
        columns[_EXTRA + name] = [turn.arrays.get(name) for turn in turns]
    columns["final_ids"] = [trajectory.final_ids]
    document["turns"] = scalars
    return encode_body(Body(document, columns), level)


def decode_trajectory(data: bytes, images: Mapping[str, Image] | None) -> Trajectory:
    """Return the trajectory of a body.

    Args:
        data: The body.
        images: Images by content hash; None to leave images out.
    """
    body = decode_body(data)
    document, columns = body.document, body.columns
    scalars = cast("dict[str, list[Any]]", document["turns"])
    final = columns.pop("final_ids", [None])[0]
    turns: list[Turn] = []
    for k in range(len(scalars["reward"])):
        values = {name: scalars[name][k] for name in _SCALARS if name in scalars}
        values["finish"] = FinishReason(values["finish"])
        digest = scalars["image"][k]
        if digest is not None and images is not None:
            values["image"] = images[digest]
        calls = tuple(ToolCall(name, arguments) for name, arguments in scalars["calls"][k])
        known = {n: c[k] for n, c in columns.items() if n in _TEXTS or n in _ARRAYS}
        values |= {name: value for name, value in known.items() if value is not None}
        # A column of a newer minor version has no field here; it is kept among the extra arrays.
        extra = {
            name.removeprefix(_EXTRA): column[k]
            for name, column in columns.items()
            if name not in known and isinstance(column[k], np.ndarray)
        }
        turns.append(Turn(**values, calls=calls, arrays=extra))
    values = {name: document[name] for name in (*_FIELDS, "metrics") if name in document}
    values["stop_reason"] = StopReason(values["stop_reason"])
    if final is not None:
        values["final_ids"] = final
    digest = document.get("final_image")
    if digest is not None and images is not None:
        values["final_image"] = images[digest]
    return Trajectory(turns=turns, **values)


def encode_body(body: Body, level: int) -> bytes:
    """Return a compressed body.

    Raises:
        StoreError: If the document is not JSON, or an array holds what is no number.
    """
    import zstandard

    described: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, values in body.columns.items():
        for kind, lengths, data in _runs(name, values):
            described.append({"name": name, "lengths": lengths, **kind})
            parts.append(data)
    document = to_json({**body.document, "columns": described})
    raw = b"".join((_LENGTH.pack(len(document)), document, *parts))
    return zstandard.ZstdCompressor(level=level).compress(raw)


def decode_body(data: bytes) -> Body:
    """Return what a compressed body holds."""
    import zstandard

    raw = memoryview(zstandard.ZstdDecompressor().decompress(data))
    (size,) = _LENGTH.unpack_from(raw)
    position = _LENGTH.size + size
    document = cast("dict[str, Any]", from_json(raw[_LENGTH.size : position]))
    columns: dict[str, list[Any]] = {}
    for described in cast("list[dict[str, Any]]", document.pop("columns")):
        lengths = cast("list[int]", described["lengths"])
        column = columns.setdefault(described["name"], [None] * len(lengths))
        if described["dtype"] == "text":
            for k, length in enumerate(lengths):
                if length >= 0:
                    text = raw[position : position + length]
                    column[k] = bytes(text).decode("utf-8", "surrogatepass")
                    position += length
            continue
        dtype, shape = np.dtype(described["dtype"]), tuple(described["shape"])
        row = int(np.prod(shape, dtype=np.int64))
        rows = sum(length for length in lengths if length > 0)
        # Copied, so that the arrays may be written to and don't keep the whole body alive.
        size = rows * row * dtype.itemsize
        planes = np.frombuffer(raw, np.uint8, size, position).reshape(dtype.itemsize, -1)
        flat = planes.T.copy().reshape(-1).view(dtype).reshape(rows, *shape)
        position += size
        start = 0
        for k, length in enumerate(lengths):
            if length >= 0:
                column[k] = flat[start : start + length]
                start += length
    return Body(document, columns)


def _runs(
    name: str, values: Sequence[str | Array | None]
) -> list[tuple[dict[str, Any], list[int], bytes]]:
    # One run per dtype and shape: as a rule one, but nothing says that all turns agree.
    if all(value is None or isinstance(value, str) for value in values):
        texts = [
            None if value is None else cast("str", value).encode("utf-8", "surrogatepass")
            for value in values
        ]
        lengths = [-1 if text is None else len(text) for text in texts]
        return [({"dtype": "text"}, lengths, b"".join(text for text in texts if text))]
    runs: dict[tuple[str, tuple[int, ...]], tuple[list[int], list[bytes]]] = {}
    for k, value in enumerate(values):
        if value is None:
            continue
        array = np.asarray(value)
        if array.ndim == 0 or array.dtype.kind not in "biufc":
            raise StoreError(
                f"Turn {k}: {name} must be an array of numbers with one entry per token, "
                f"got {array.dtype} of shape {array.shape}"
            )
        key = (array.dtype.str, array.shape[1:])
        lengths, parts = runs.setdefault(key, ([-1] * len(values), []))
        lengths[k] = len(array)
        parts.append(array.tobytes())
    return [
        ({"dtype": dtype, "shape": list(shape)}, lengths, _planes(b"".join(parts), dtype))
        for (dtype, shape), (lengths, parts) in runs.items()
    ]


def _planes(data: bytes, dtype: str) -> bytes:
    return np.frombuffer(data, np.uint8).reshape(-1, np.dtype(dtype).itemsize).T.tobytes()
