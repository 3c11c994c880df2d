"""`Assertion`: a test such as `assert f(3) == [1, 2]`, cut into what may be told and what may not.

The calls of the tested code go to where it runs; everything around them, the expected value before
all, stays here, and is evaluated here with the values that came back. So code can't find out what a
test expects, and nothing that it does to its own interpreter changes the verdict.
"""

import ast
import builtins
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentgym.errors import DataError

_MOST_POWER = 1000
_MOST_REPEATS = 100_000


def _multiply(a: Any, b: Any) -> Any:
    # One of them may come from the tested code, and ask for a list as long as memory.
    for times, other in ((a, b), (b, a)):
        if isinstance(times, int) and hasattr(other, "__len__") and times > _MOST_REPEATS:
            raise OverflowError(times)
    return a * b


def _power(a: Any, b: Any) -> Any:
    if abs(b) > _MOST_POWER:
        raise OverflowError(b)
    return a**b


_PURE: Mapping[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (abs, bool, dict, float, frozenset, int, len, list, max, min)},
    **{f.__name__: f for f in (round, set, sorted, str, sum, tuple, complex)},
    "isclose": math.isclose,
}
"""What an assertion may do to a value."""
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.eq,  # of values that travelled, identity says nothing
    ast.IsNot: operator.ne,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: _multiply,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


@dataclass(frozen=True, slots=True)
class Assertion:
    """A test.

    Attributes:
        text: As it was written.
        calls: Expressions whose values the tested code gives.
    """

    text: str
    calls: tuple[str, ...]
    _test: ast.expr

    @classmethod
    def parse(cls, text: str) -> "Assertion":
        """Read an assertion.

        Raises:
            DataError: If it is none, calls no tested code, or can't be cut.
        """
        try:
            body = ast.parse(text.strip()).body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as fault:
            raise DataError(f"{text!r:.200} is no Python: {fault}") from fault
        if len(body) != 1 or not isinstance(body[0], ast.Assert):
            raise DataError(f"{text!r:.200} is no single assertion")
        test = body[0].test
        calls: list[str] = []
        _collect(test, calls, text)
        if not calls:
            raise DataError(f"{text!r:.200} calls no function of the tested code")
        return cls(text.strip(), tuple(calls), test)

    def holds(self, values: Sequence[object]) -> bool:
        """Return whether it holds.

        Args:
            values: What the calls gave, in their order.
        """
        left = iter(values)
        try:
            return bool(_evaluate(self._test, lambda: next(left)))
        except Exception:  # values of another kind than the test is about
            return False


def _collect(node: ast.expr, calls: list[str], text: str) -> None:
    """Note the calls of tested code, in the order in which `_evaluate` comes by them."""
    if isinstance(node, ast.Call) and not _is_pure(node):
        name = _root(node)
        if name is None or hasattr(builtins, name) or name == "math":
            shown = ast.unparse(node)
            raise DataError(f"{text!r:.200} can't be judged apart from the code: {shown!r:.80}")
        calls.append(ast.unparse(node))
        return
    if not isinstance(node, _ALLOWED):
        shown = ast.unparse(node)
        raise DataError(f"{text!r:.200} can't be judged apart from the code: {shown!r:.80}")
    for child in _children(node):
        _collect(child, calls, text)


def _children(node: ast.expr) -> list[ast.expr]:
    """Return the parts that have values, in the order of `_evaluate`."""
    match node:
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            return parts
        case ast.Dict(keys=keys, values=values):
            return [part for pair in zip(keys, values, strict=True) for part in pair if part]
        case ast.UnaryOp(operand=operand):
            return [operand]
        case ast.BinOp(left=left, right=right):
            return [left, right]
        case ast.BoolOp(values=values):
            return values
        case ast.Compare(left=left, comparators=others):
            return [left, *others]
        case ast.Call(args=args, keywords=keywords):
            return [*args, *(keyword.value for keyword in keywords)]
        case _:
            return []


def _evaluate(node: ast.expr, value: Callable[[], object]) -> Any:
    if isinstance(node, ast.Call) and not _is_pure(node):
        return value()
    parts = [_evaluate(child, value) for child in _children(node)]
    match node:
        case ast.Constant(value=constant):
            return constant
        case ast.List():
            return parts
        case ast.Tuple():
            return tuple(parts)
        case ast.Set():
            return set(parts)
        case ast.Dict():
            return dict(zip(parts[::2], parts[1::2], strict=True))
        case ast.UnaryOp(op=op):
            return _UNARY[type(op)](parts[0])
        case ast.BinOp(op=op):
            return _BINARY[type(op)](parts[0], parts[1])
        case ast.BoolOp(op=op):
            return all(parts) if isinstance(op, ast.And) else any(parts)
        case ast.Compare(ops=ops):
            pairs = zip(ops, parts, parts[1:], strict=False)
            return all(_COMPARE[type(op)](a, b) for op, a, b in pairs)
        case ast.Call(func=func, args=args, keywords=keywords):
            named = zip((k.arg or "" for k in keywords), parts[len(args) :], strict=True)
            return _PURE[_last(func)](*parts[: len(args)], **dict(named))
        case _:
            raise TypeError(type(node).__name__)


_ALLOWED = (
    *(ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp),
    *(ast.BoolOp, ast.Compare, ast.Call),
)


def _is_pure(node: ast.Call) -> bool:
    """Return whether it is a call that is made here: `sorted(…)`, `math.isclose(…)`."""
    match node.func:
        case ast.Name(id=name):
            return name in _PURE
        case ast.Attribute(value=ast.Name(id="math"), attr="isclose"):
            return True
        case _:
            return False


def _last(func: ast.expr) -> str:
    return func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")


def _root(node: ast.expr) -> str | None:
    """Return the name that a chain such as `Solution().f(3)` begins with."""
    while isinstance(node, ast.Call | ast.Attribute):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None
