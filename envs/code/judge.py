"""`same_number`, `same_answer`: whether an answer is the right one.

Integers, fractions and decimals are compared exactly, which needs nothing but Python and can't be
wrong. Everything else is mathematics, and math-verify decides (`verifier.py`).
"""

import math
import re
from collections.abc import Callable
from enum import StrEnum
from fractions import Fraction

from agentgym.envs.code.formats import boxed
from agentgym.envs.code.verifier import verified

_MOST_DIGITS = 4000
"""Longer numbers are no answers: Python refuses to read them, and nobody asks for them."""
_FLOAT_ERROR = 10**9
"""A float is right to one part in this many, after the few steps of a calculation."""
_FLOAT = re.compile("[.e]")
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)"
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_PLAIN = re.compile(_NUMBER)
_RATIO = re.compile(rf"({_NUMBER})\s*/\s*({_NUMBER})")
_LATEX_RATIO = re.compile(rf"([+-]?)\\[dt]?frac\{{({_NUMBER})\}}\{{({_NUMBER})\}}")


class Judge(StrEnum):
    """Who says whether an answer is right."""

    EXACT = "exact"
    """Numbers, compared exactly; what is no number is wrong."""
    MATH_VERIFY = "math_verify"
    """Numbers exactly, everything else by math-verify."""


def same_number(given: str, truth: str) -> bool:
    """Return whether both are the same number, exactly."""
    value = number(given)
    return value is not None and value == number(truth)


def same_answer(given: str, truth: str) -> bool:
    """Return whether both are the same mathematics.

    Raises:
        InfraError: If math-verify can't be asked.
    """
    mine, right = number(given), number(truth)
    return mine == right if mine is not None and right is not None else verified(given, truth)


def same_figure(printed: str, stated: str) -> bool:
    """Return whether a program printed the number that a text states.

    Args:
        printed: As Python prints it: 3.0, 0.30000000000000004, 1e-05, or a fraction.
        stated: As people write it. Of a decimal, the last place may be rounded or cut off, and a
            percentage may stand for its hundredth.
    """
    if printed.strip() == stated.strip():
        return True
    bare = stated.strip().strip("$%").strip()
    shown, meant = _printed(printed), number(bare)
    if shown is None or meant is None:
        return False
    places = len(bare.partition(".")[2]) if _PLAIN.fullmatch(bare.replace(",", "")) else 0
    within = max(abs(meant), Fraction(1)) / _FLOAT_ERROR if _FLOAT.search(printed) else Fraction(0)
    if places:
        within = max(within, Fraction(1, 10**places))
    scales = (1, 100) if stated.strip().endswith("%") else (1,)
    return any(abs(shown * scale - meant) <= within for scale in scales)


JUDGES: dict[Judge, Callable[[str, str], bool]] = {
    Judge.EXACT: same_number,
    Judge.MATH_VERIFY: same_answer,
}


def number(text: str) -> Fraction | None:
    """Return the number that a text is, exactly; None where it is none.

    Args:
        text: An integer, with or without commas between thousands, a decimal, or a fraction, plain
            or in LaTeX, perhaps in a box or between dollar signs.
    """
    inside = boxed(text)
    body = (text if inside is None else inside).strip().strip("$").strip().rstrip(".")
    if len(body) > _MOST_DIGITS:
        return None
    body = body.replace("\N{MINUS SIGN}", "-").replace("\\!", "").replace("\\,", "")
    if _THOUSANDS.fullmatch(body):
        body = body.replace(",", "")
    if _PLAIN.fullmatch(body):
        return Fraction(body)
    if (ratio := _RATIO.fullmatch(body)) is not None:
        return _divided("", ratio[1], ratio[2])
    if (ratio := _LATEX_RATIO.fullmatch(body)) is not None:
        return _divided(ratio[1], ratio[2], ratio[3])
    return None


def _printed(text: str) -> Fraction | None:
    exact = number(text)
    if exact is not None:
        return exact
    try:
        value = float(text)
    except ValueError:
        return None
    return Fraction(value) if math.isfinite(value) else None


def _divided(sign: str, above: str, below: str) -> Fraction | None:
    under = Fraction(below)
    if not under:
        return None
    value = Fraction(above) / under
    return -value if sign == "-" else value
