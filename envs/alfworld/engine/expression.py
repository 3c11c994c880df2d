"""The expressions in a grammar's braces, such as `o.indefinite + ' ' + o.name`.

TextWorld hands them to Python's `eval`. Here they are read with Python's parser and walked:
attributes of objects, strings, `+`, `or`, `and` and `if` are what there is, and a game file never
runs code.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agentgym.errors import DataError


@dataclass(frozen=True, slots=True)
class Entity:
    """What an expression can say of an object."""

    id: str
    type: str
    name: str
    definite: str = "the"
    indefinite: str = "a"

    def __str__(self) -> str:
        return self.name


_ATTRIBUTES = frozenset(("id", "type", "name", "definite", "indefinite"))
_UNSET = frozenset(("noun", "adj", "desc", "room_type", "synonyms"))  # TextWorld has None there


@lru_cache(maxsize=1024)
def _expression(source: str) -> ast.expr:
    try:
        return ast.parse(source.strip(), mode="eval").body
    except SyntaxError as error:
        raise DataError(f"the grammar's expression {source!r} can't be read: {error.msg}") from None


@lru_cache(maxsize=1024)
def identifiers(source: str) -> frozenset[str]:
    """Return the variables that an expression uses."""
    return frozenset(n.id for n in ast.walk(_expression(source)) if isinstance(n, ast.Name))


def evaluate(source: str, variables: Mapping[str, Entity]) -> str:
    """Return the text of an expression such as `o.indefinite + ' ' + o.name`.

    Raises:
        DataError: The expression names an unbound variable, or uses more of Python than is allowed.
    """

    def walk(node: ast.expr) -> Any:
        match node:
            case ast.Name(id=name) if name in variables:
                return variables[name]
            case ast.Name(id=name):
                raise DataError(f"the grammar's expression {source!r} uses unbound {name!r}")
            case ast.Attribute(value=value, attr=attribute) if attribute in _ATTRIBUTES | _UNSET:
                return getattr(walk(value), attribute, None)
            case ast.Constant(value=str() as value):
                return value
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return walk(left) + walk(right)
            case ast.BoolOp(op=op, values=values):
                stop_at = isinstance(op, ast.Or)
                result = walk(values[0])
                for value in values[1:]:
                    if bool(result) == stop_at:
                        break
                    result = walk(value)
                return result
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return walk(body) if walk(test) else walk(orelse)
            case _:
                raise DataError(
                    f"the grammar's expression {source!r} uses {type(node).__name__}; "
                    "attributes, strings, +, and, or, if are what is allowed"
                )

    try:
        return str(walk(_expression(source)))
    except TypeError as error:
        raise DataError(f"the grammar's expression {source!r} fails: {error}") from None
