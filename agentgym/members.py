"""`member`: the member of an enumeration that an option names."""

from enum import Enum
from typing import TypeVar

from agentgym.errors import UnknownNameError

E = TypeVar("E", bound=Enum)


def member(kind: type[E], value: E | str, what: str) -> E:
    """Return the member of an enumeration that a value names.

    Args:
        kind: The enumeration.
        value: A member, or its value.
        what: What the members are, for the message: "split".

    Raises:
        UnknownNameError: If there is none; the message names those that there are.
    """
    try:
        return kind(value)
    except ValueError:
        raise UnknownNameError(what, str(value), [str(one.value) for one in kind]) from None
