"""`Trial`: hidden tests of code that a model wrote.

Each test's calls are made in a run of their own, in a box that holds the code and those calls, and
nothing of what is expected or of the other tests. What comes back is a value, as plain data; the
verdict falls on the host. So code can leave early, replace `==`, print whatever it likes or look
for the tests: none of it is the value that a test wants.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agentgym.envs.code.assertions import Assertion
from agentgym.errors import DataError
from agentgym.sandbox import Limit, Sandbox

_MOST_BYTES = 1 << 20
"""Longest value, as it is written."""

# It follows the model's code on lines of its own, and takes from it nothing but the values.
_TAIL = """
def _agentgym_plain(value):
    for kind in (bool, int, float, complex, str, bytes):
        if isinstance(value, kind):
            shown = {bool: int, int: hex, bytes: bytes.hex, str: str.__str__}.get(kind, repr)
            return [kind.__name__, shown(value)]
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return [kind.__name__, [_agentgym_plain(part) for part in value]]
    if isinstance(value, dict):
        return ["dict", [[_agentgym_plain(k), _agentgym_plain(v)] for k, v in value.items()]]
    return ["None" if value is None else "object", type(value).__name__]


with __import__("io").open({path!r}, "w") as _agentgym_file:
    __import__("json").dump([_agentgym_plain(v) for v in ({calls},)], _agentgym_file)
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of the tests.

    Attributes:
        passed: Whether each passed; those that weren't reached did not.
    """

    passed: tuple[bool, ...]

    @property
    def share(self) -> float:
        """The share that passed."""
        return sum(self.passed) / len(self.passed)


def judge(
    code: str,
    tests: Sequence[Assertion],
    make_box: Callable[[], Sandbox],
    *,
    setup: str = "",
    seconds: float = 5.0,
    seconds_in_all: float = 50.0,
) -> Verdict:
    """Test code.

    Args:
        code: What the model submitted.
        tests: At least one.
        make_box: Makes the box, in which nothing ran before.
        setup: Code that the tests need, such as imports.
        seconds: What a test may take; after one that takes longer no other is tried.
        seconds_in_all: What all of them may take.

    Raises:
        InfraError: If the sandbox failed.
    """
    source = f"{code}\n{setup}".encode("utf-8", "replace").decode()
    passed = [False] * len(tests)
    deadline = time.monotonic() + seconds_in_all
    with make_box() as box:
        for number, test in enumerate(tests):
            left = min(seconds, deadline - time.monotonic())
            if left <= 0:
                break
            path = f".value-{number}"
            tail = _TAIL.replace("{path!r}", repr(path)).replace("{calls}", ", ".join(test.calls))
            result = box.exec(f"{source}\n{tail}", wall_seconds=left)
            values = _values(box, path)
            passed[number] = len(values) == len(test.calls) and test.holds(values)
            if result.limit is Limit.WALL:
                break
    return Verdict(tuple(passed))


def _values(box: Sandbox, path: str) -> list[object]:
    """Return the values that a run left; none where it left nothing that can be read."""
    try:
        written = json.loads(box.get(path, most_bytes=_MOST_BYTES))
        return [_value(part) for part in written]
    except (DataError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return []


def _value(written: Any) -> object:
    kind, content = written
    if kind in _PARTS:
        return _PARTS[kind](_value(part) for part in content)
    if kind == "dict":
        return {_value(key): _value(value) for key, value in content}
    return _SIMPLE[kind](content)


_PARTS: dict[str, Callable[[Any], object]] = {
    kind.__name__: kind for kind in (list, tuple, set, frozenset)
}
_SIMPLE: dict[str, Callable[[Any], object]] = {
    "bool": bool,
    "int": lambda text: int(text, 16),
    "float": float,
    "complex": complex,
    "str": str,
    "bytes": bytes.fromhex,
    "None": lambda _: None,
    "object": lambda _: object(),  # equal to nothing
}
