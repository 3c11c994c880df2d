"""Many infos as one, the way Gymnasium's vector environments give them.

Every key becomes an array with one entry per member, next to a mask `_key` that says which members
had it; an info inside an info becomes such a dictionary itself. Numbers make numeric arrays where
all that are there are numbers; texts, lists and whatever else make arrays of objects.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

_MISSING = object()
_WHOLE = frozenset({"final_obs"})
"""Keys whose values stay as they are, although they are dictionaries."""


def batch_infos(infos: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the infos of all members as one.

    Args:
        infos: One per member; empty where a member has nothing to say.

    Returns:
        `{key: values, "_key": mask}`, both of length `len(infos)`.
    """
    batched: dict[str, Any] = {}
    keys: dict[str, None] = {key: None for info in infos for key in info}
    for key in keys:
        values = [info.get(key, _MISSING) for info in infos]
        batched[key] = _batch(key, values)
        batched[f"_{key}"] = np.array([value is not _MISSING for value in values])
    return batched


def _batch(key: str, values: list[object]) -> object:
    given = [value for value in values if value is not _MISSING]
    if key not in _WHOLE and all(isinstance(value, Mapping) for value in given):
        return batch_infos([{} if v is _MISSING else cast("Any", v) for v in values])
    if all(isinstance(value, bool | int | float | np.generic) for value in given):
        return np.array([0 if v is _MISSING else v for v in values], np.result_type(*_kinds(given)))
    first = given[0]
    if isinstance(first, np.ndarray) and key not in _WHOLE:
        alike = all(
            isinstance(v, np.ndarray) and (v.shape, v.dtype) == (first.shape, first.dtype)
            for v in given
        )
        if alike:
            return np.stack(
                [np.zeros_like(first) if v is _MISSING else cast("Any", v) for v in values]
            )
    objects: npt.NDArray[np.object_] = np.full(len(values), None, dtype=object)
    for index, value in enumerate(values):
        if value is not _MISSING:
            objects[index] = value
    return objects


def _kinds(given: list[object]) -> list[Any]:
    return [np.asarray(value).dtype for value in given]
