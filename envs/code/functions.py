"""Small functions to write, generated: a statement, a reference, and inputs for the tests."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from string import ascii_lowercase
from typing import Any

from agentgym.envs.code.problems import Split
from agentgym.errors import UnknownNameError, UsageError
from agentgym.members import member
from agentgym.task import Task

_COUNTS = {Split.TRAIN: 2_000, Split.TEST: 200}
_TEST_SHARE = 26
_TESTS = 8

Inputs = Callable[[Random], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Function:
    """A function to write.

    Attributes:
        name: What it is called.
        statement: What it is to do.
        code: A reference.
        inputs: Draws its arguments.
    """

    name: str
    statement: str
    code: str
    inputs: Inputs


class GeneratedFunctions:
    """A `TaskSet` of functions to write.

    Args:
        split: "train" or "test"; a hash of the statement says which a function belongs to.
        count: How many there are; 2,000 for training and 200 for the test if None.

    Raises:
        UnknownNameError: If there is no such split.
        UsageError: If there are no functions.
    """

    def __init__(self, split: str = "train", count: int | None = None) -> None:
        self._split = member(Split, split, "split")
        self._count = _COUNTS[self._split] if count is None else count
        if self._count < 1:
            raise UsageError("There must be at least one problem")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int, /) -> Task:
        family = _FAMILIES[index % len(_FAMILIES)]
        number = index // len(_FAMILIES)
        draw = Random(f"function/{self._split}/{family.__name__}/{number}")
        function = family(draw)
        while not self._belongs(function):
            function = family(draw)
        data = {"code": function.code, "tests": _tests(function, draw), "setup": ""}
        task_id = f"{self._split}/{family.__name__}/{number}"
        return Task(task_id, function.statement, data=data)

    def find(self, task_id: str) -> int:
        """Return the index of a task id."""
        parts = task_id.split("/")
        names = [family.__name__ for family in _FAMILIES]
        if len(parts) == 3 and parts[1] in names and parts[2].isdecimal():
            index = int(parts[2]) * len(names) + names.index(parts[1])
            if index < self._count and self[index].id == task_id:
                return index
        raise UnknownNameError("task", task_id, [self[0].id, self[self._count - 1].id])

    def _belongs(self, function: Function) -> bool:
        digest = hashlib.sha256(function.statement.encode()).digest()
        return (digest[0] < _TEST_SHARE) == (self._split is Split.TEST)


def _tests(function: Function, draw: Random) -> list[str]:
    namespace: dict[str, Any] = {}
    exec(function.code, namespace)  # the reference, which is ours
    written: list[str] = []
    while len(written) < _TESTS:
        arguments = function.inputs(draw)
        expected = namespace[function.name](*arguments)
        test = f"assert {function.name}({', '.join(map(repr, arguments))}) == {expected!r}"
        if test not in written:
            written.append(test)
    return written


def _define(name: str, parameter: str, says: str, *body: str, inputs: Inputs) -> Function:
    code = f"def {name}({parameter}):\n" + "\n".join(f"    {line}" for line in body)
    return Function(
        name, f"Write a function {name}({parameter}) that returns {says}.", code, inputs
    )


def _numbers(draw: Random) -> tuple[list[int]]:
    return ([draw.randint(-50, 99) for _ in range(draw.randint(0, 9))],)


def _positive(draw: Random) -> tuple[int]:
    return (draw.randint(1, 5000),)


def _words(draw: Random) -> tuple[str]:
    letters = ascii_lowercase[: draw.randint(3, 26)] + " "
    return ("".join(draw.choice(letters) for _ in range(draw.randint(0, 24))),)


def multiples(draw: Random) -> Function:
    """Sums of multiples."""
    a, b = draw.sample(range(2, 40), 2)
    return _define(
        "sum_of_multiples",
        "n",
        f"the sum of all positive integers below n that are divisible by {a} or by {b}",
        f"return sum(i for i in range(1, n) if i % {a} == 0 or i % {b} == 0)",
        inputs=_positive,
    )


def digits(draw: Random) -> Function:
    """Digit sums in a base."""
    base, times = draw.randint(2, 36), draw.randint(1, 20)
    return _define(
        "digit_sum",
        "n",
        f"{times} times the sum of the digits of the non-negative integer n in base {base}",
        "total = 0",
        "while n:",
        f"    n, digit = divmod(n, {base})",
        "    total += digit",
        f"return {times} * total",
        inputs=_positive,
    )


def rotation(draw: Random) -> Function:
    """Lists that are rotated and thinned."""
    by, step = draw.randint(1, 20), draw.randint(1, 8)
    return _define(
        "rotate",
        "items",
        f"the list items rotated to the left by {by} places, every item number 0, {step}, "
        f"{2 * step} and so on of that; an empty list for an empty list",
        f"k = {by} % len(items) if items else 0",
        f"return (items[k:] + items[:k])[::{step}]",
        inputs=_numbers,
    )


def letters(draw: Random) -> Function:
    """Letters that are counted."""
    chosen = "".join(sorted(draw.sample(ascii_lowercase, draw.randint(2, 6))))
    return _define(
        "count_letters",
        "text",
        f"how many characters of text are among the letters {', '.join(chosen)}",
        f"return sum(letter in {chosen!r} for letter in text)",
        inputs=_words,
    )


def caesar(draw: Random) -> Function:
    """Letters that are shifted."""
    by = draw.randint(1, 25)
    backwards = draw.random() < 0.5
    return _define(
        "encode",
        "text",
        f"text with each letter from a to z moved on by {by} places in the alphabet, from z on to "
        f"a again{', and the whole written backwards' if backwards else ''}; other characters stay",
        f"moved = [chr((ord(c) - 97 + {by}) % 26 + 97) if 'a' <= c <= 'z' else c for c in text]",
        f"return ''.join({'reversed(moved)' if backwards else 'moved'})",
        inputs=_words,
    )


def limits(draw: Random) -> Function:
    """Numbers that are kept between limits."""
    low = draw.randint(-40, 20)
    high = low + draw.randint(5, 60)
    return _define(
        "limit",
        "items",
        f"the list of the numbers in items, in ascending order and without repetitions, after "
        f"those below {low} became {low} and those above {high} became {high}",
        f"return sorted({{min(max(item, {low}), {high}) for item in items}})",
        inputs=_numbers,
    )


def pairs(draw: Random) -> Function:
    """Pairs that are counted."""
    k, rest = draw.randint(3, 12), draw.randint(0, 2)
    return _define(
        "count_pairs",
        "items",
        f"in how many ways two numbers at different places of items can be chosen so that their "
        f"sum leaves the remainder {rest} when divided by {k}; the order doesn't matter",
        "return sum(",
        "    1",
        "    for i in range(len(items))",
        "    for j in range(i)",
        f"    if (items[i] + items[j]) % {k} == {rest}",
        ")",
        inputs=_numbers,
    )


def recurrence(draw: Random) -> Function:
    """Terms of a sequence."""
    a, b, first, second = (draw.randint(1, 9) for _ in range(4))
    return _define(
        "term",
        "n",
        f"term number n of the sequence that begins with {first} (number 0) and {second} (number "
        f"1), and in which each later term is {a} times the last one plus {b} times the one before",
        f"x, y = {first}, {second}",
        "for _ in range(n):",
        f"    x, y = y, {a} * y + {b} * x",
        "return x",
        inputs=lambda draw: (draw.randint(0, 30),),
    )


_FAMILIES: tuple[Callable[[Random], Function], ...] = (
    *(multiples, digits, rotation, letters, caesar, limits, pairs, recurrence),
)
