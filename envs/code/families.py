"""Families of generated problems, each at graded difficulty, with exact answers.

Mental arithmetic gets them wrong and a few lines of code get them right, with nothing but Python's
standard library. A family makes a problem from a random generator and a level; the answer is worked
out here, by another way than the expert's code goes where there is one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import comb, lcm, prod
from random import Random


class Level(StrEnum):
    """How hard problems are."""

    TINY = "tiny"
    """One expression of numbers up to 999, in a fixed form of words: for models that were built on
    the spot."""
    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem.

    Attributes:
        question: What is asked.
        answer: An integer, or a fraction such as -7/12.
        code: Prints the answer.
    """

    question: str
    answer: str
    code: str


Family = Callable[[Random, Level], Problem]


def arithmetic(draw: Random, level: Level) -> Problem:
    """Products, sums and powers of numbers that are too long for the head."""
    if level is Level.TINY:
        a, b, c = (draw.randint(100, 999) for _ in range(3))
        return _expression(f"{a} * {b} + {c} = ?", f"{a} * {b} + {c}", a * b + c)
    digits = {Level.EASY: 4, Level.MEDIUM: 8, Level.HARD: 20}[level]
    a, b, c, d = (draw.randint(10 ** (digits - 1), 10**digits - 1) for _ in range(4))
    if level is Level.HARD:
        base, power = draw.randint(101, 999), draw.randint(12, 30)
        question = f"What is the sum of the decimal digits of {a} * {b} + {base}^{power}?"
        total = sum(int(digit) for digit in str(a * b + base**power))
        code = f"print(sum(map(int, str({a} * {b} + {base}**{power}))))"
        return Problem(question, str(total), code)
    return _expression(f"What is {a} * {b} - {c} * {d}?", f"{a} * {b} - {c} * {d}", a * b - c * d)


def modular(draw: Random, level: Level) -> Problem:
    """Remainders of products and powers, inverses, congruences."""
    if level is Level.TINY:
        a, b, m = (draw.randint(100, 999) for _ in range(3))
        if draw.random() < 0.5:
            return _expression(f"{a} * {b} mod {m} = ?", f"{a} * {b} % {m}", a * b % m)
        return _expression(f"{a} ^ {b} mod {m} = ?", f"{a} ** {b} % {m}", pow(a, b, m))
    if level is Level.EASY:
        a, b, m = draw.randint(10, 999), draw.randint(100, 9999), draw.randint(100, 9999)
        answer = pow(a, b, m)
        return Problem(
            f"What is the remainder of {a}^{b} divided by {m}?",
            str(answer),
            f"print(pow({a}, {b}, {m}))",
        )
    if level is Level.MEDIUM:
        p = draw.choice(_PRIMES)
        a = draw.randint(2, p - 1)
        question = f"Find the smallest positive integer x with {a} * x = 1 modulo {p}."
        # Fermat's little theorem; the code asks for the inverse itself.
        return Problem(question, str(pow(a, p - 2, p)), f"print(pow({a}, -1, {p}))")
    moduli = draw.sample(_PRIMES, 3)
    least = draw.randint(1, prod(moduli) - 1)
    parts = [(least % m, m) for m in moduli]
    listed = ", ".join(f"{r} when divided by {m}" for r, m in parts)
    code = (
        f"x, step = 0, 1\nfor r, m in {parts}:\n"
        "    while x % m != r:\n        x += step\n    step *= m\nprint(x)"
    )
    question = f"Find the smallest non-negative integer that leaves the remainders {listed}."
    return Problem(question, str(least), code)


def counting(draw: Random, level: Level) -> Problem:
    """How many there are of something."""
    if level in (Level.TINY, Level.EASY):
        n, a, b = draw.randint(500, 5000), draw.randint(3, 12), draw.randint(13, 40)
        question = f"How many integers from 1 to {n} are divisible by {a} or by {b}?"
        both = lcm(a, b)
        code = f"print(sum(1 for i in range(1, {n} + 1) if i % {a} == 0 or i % {b} == 0))"
        return Problem(question, str(n // a + n // b - n // both), code)
    if level is Level.MEDIUM:
        n, k = draw.randint(9, 40), draw.randint(9, 40)
        x, y = draw.randint(2, 8), draw.randint(2, 8)
        question = (
            f"A path goes from (0, 0) to ({n}, {k}) in unit steps to the right or up. "
            f"How many such paths don't pass through ({x}, {y})?"
        )
        through = comb(x + y, x) * comb(n + k - x - y, n - x)
        code = (
            f"row = [0] * {n + 1}\nfor j in range({k + 1}):\n    for i in range({n + 1}):\n"
            "        left = row[i - 1] if i else 0\n"
            "        row[i] = 1 if i == j == 0 else row[i] + left\n"
            f"        if (i, j) == ({x}, {y}):\n            row[i] = 0\nprint(row[{n}])"
        )
        return Problem(question, str(comb(n + k, n) - through), code)
    total = draw.randint(300, 900)
    coins = sorted(draw.sample(range(2, 60), 5))
    listed = ", ".join(map(str, coins[:-1])) + f" and {coins[-1]}"
    question = f"In how many ways can {total} be paid with coins of {listed}, in any numbers?"
    ways = [1] + [0] * total
    for coin in coins:
        for amount in range(coin, total + 1):
            ways[amount] += ways[amount - coin]
    code = (
        "from functools import cache\n\n@cache\ndef ways(total, coins):\n"
        "    if not coins:\n        return int(total == 0)\n"
        "    return sum(ways(total - n, coins[1:]) for n in range(0, total + 1, coins[0]))\n\n"
        f"print(ways({total}, {tuple(reversed(coins))}))"
    )
    return Problem(question, str(ways[total]), code)


def linear(draw: Random, level: Level) -> Problem:
    """Systems of linear equations with integers for a solution."""
    size = {Level.TINY: 2, Level.EASY: 2, Level.MEDIUM: 3, Level.HARD: 5}[level]
    largest = {Level.TINY: 9, Level.EASY: 30, Level.MEDIUM: 60, Level.HARD: 99}[level]
    names = "abcde"[:size]
    while True:
        rows = [[draw.randint(-largest, largest) for _ in names] for _ in names]
        if _determinant(rows):
            break
    solution = [draw.randint(-largest, largest) for _ in names]
    right = [sum(c * v for c, v in zip(row, solution, strict=True)) for row in rows]
    weights = [draw.randint(2, 9) for _ in names]
    equations = ", ".join(
        f"{_terms(row, names)} = {value}" for row, value in zip(rows, right, strict=True)
    )
    question = f"Given {equations}, what is {_terms(weights, names)}?"
    answer = sum(w * v for w, v in zip(weights, solution, strict=True))
    table = [[*row, value] for row, value in zip(rows, right, strict=True)]
    code = (
        f"from fractions import Fraction\n\nm = [[Fraction(v) for v in row] for row in {table}]\n"
        "n = len(m)\nfor i in range(n):\n    k = next(k for k in range(i, n) if m[k][i])\n"
        "    m[i], m[k] = m[k], m[i]\n    m[i] = [v / m[i][i] for v in m[i]]\n"
        "    for k in range(n):\n        if k != i:\n"
        "            m[k] = [a - m[k][i] * b for a, b in zip(m[k], m[i])]\n"
        f"print(sum(w * row[n] for w, row in zip({weights}, m)))"
    )
    return Problem(question, str(answer), code)


def polynomial(draw: Random, level: Level) -> Problem:
    """Values and coefficients of polynomials."""
    if level in (Level.TINY, Level.EASY):
        coefficients = [draw.choice((-1, 1)) * draw.randint(2, 30) for _ in range(4)]
        x = draw.randint(11, 60)
        question = f"What is {_power_terms(coefficients)} at x = {x}?"
        value = 0
        for coefficient in reversed(coefficients):
            value = value * x + coefficient
        return Problem(
            question,
            str(value),
            f"x = {x}\nprint(sum(c * x**i for i, c in enumerate({coefficients})))",
        )
    a, b, c, d = (draw.choice((-1, 1)) * draw.randint(2, 9) for _ in range(4))
    n, m = (draw.randint(3, 5), draw.randint(3, 5)) if level is Level.MEDIUM else (12, 15)
    k = draw.randint(2, n + m - 2)
    question = f"What is the coefficient of x^{k} in ({_linear(a, b)})^{n} * ({_linear(c, d)})^{m}?"
    answer = sum(
        comb(n, i) * a**i * b ** (n - i) * comb(m, k - i) * c ** (k - i) * d ** (m - k + i)
        for i in range(max(0, k - m), min(n, k) + 1)
    )
    code = (
        f"p = [1]\nfor a, b in [({a}, {b})] * {n} + [({c}, {d})] * {m}:\n"
        "    q = [0] * (len(p) + 1)\n    for i, v in enumerate(p):\n"
        f"        q[i] += b * v\n        q[i + 1] += a * v\n    p = q\nprint(p[{k}])"
    )
    return Problem(question, str(answer), code)


def integral(draw: Random, level: Level) -> Problem:
    """Definite integrals of polynomials, as fractions in lowest terms."""
    degree = {Level.TINY: 2, Level.EASY: 2, Level.MEDIUM: 4, Level.HARD: 8}[level]
    coefficients = [draw.choice((-1, 1)) * draw.randint(2, 20) for _ in range(degree + 1)]
    low = draw.randint(-6, 4)
    high = low + draw.randint(2, 9)
    question = (
        f"What is the integral of {_power_terms(coefficients)} from x = {low} to x = {high}, as a "
        "fraction?"
    )
    answer = sum(
        (
            Fraction(c * (high ** (i + 1) - low ** (i + 1)), i + 1)
            for i, c in enumerate(coefficients)
        ),
        Fraction(0),
    )
    code = (
        "from fractions import Fraction\n\ndef antiderivative(x):\n"
        f"    return sum(Fraction(c, i + 1) * x**(i + 1) for i, c in enumerate({coefficients}))\n\n"
        f"print(antiderivative({high}) - antiderivative({low}))"
    )
    return Problem(question, str(answer), code)


FAMILIES: Mapping[str, Family] = {
    "arithmetic": arithmetic,
    "modular": modular,
    "counting": counting,
    "linear": linear,
    "polynomial": polynomial,
    "integral": integral,
}
"""Every family by name."""

TINY_FAMILIES = ("arithmetic", "modular")
"""Those that have a tiny level."""

_PRIMES = (10007, 10009, 10037, 10039, 10061, 10067, 10069, 10079, 10091, 10093, 10099, 10103)


def _expression(question: str, expression: str, value: int) -> Problem:
    return Problem(question, str(value), f"print({expression})")


def _determinant(rows: list[list[int]]) -> int:
    if len(rows) == 1:
        return rows[0][0]
    minors = ([row[:i] + row[i + 1 :] for row in rows[1:]] for i in range(len(rows)))
    return sum((-1) ** i * rows[0][i] * _determinant(minor) for i, minor in enumerate(minors))


def _terms(coefficients: list[int], names: str) -> str:
    """Write a sum such as 3a - b + 2c."""
    text = ""
    for coefficient, name in zip(coefficients, names, strict=True):
        if coefficient:
            size = "" if abs(coefficient) == 1 else str(abs(coefficient))
            sign = "-" if coefficient < 0 else "+"
            text += f" {sign} {size}{name}" if text else f"{'-' * (coefficient < 0)}{size}{name}"
    return text or "0"


def _power_terms(coefficients: list[int]) -> str:
    """Write a polynomial from its highest power down, the coefficients given from the lowest up."""
    text = ""
    for power, coefficient in reversed(list(enumerate(coefficients))):
        of_x = "" if power == 0 else "x" if power == 1 else f"x^{power}"
        sign = "-" if coefficient < 0 else "+"
        size = f"{abs(coefficient)}{of_x}"
        text += f" {sign} {size}" if text else f"{'-' * (coefficient < 0)}{size}"
    return text


def _linear(a: int, b: int) -> str:
    return f"{a}x {'-' if b < 0 else '+'} {abs(b)}"
