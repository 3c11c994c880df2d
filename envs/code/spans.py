"""`read_worked`: a solution in text, cut where it calculates, with the calculations as Python.

A calculation is marked as GSM8K marks it, `<<48/2=24>>`: an expression, and what it is said to
come to. Nothing is computed here. An expression is read as arithmetic and nothing else, and
written anew; what it comes to is for the interpreter to say.
"""

import ast
import re
from dataclasses import dataclass
from itertools import pairwise

from agentgym.envs.code.formats import boxed
from agentgym.envs.code.rows import final_answer
from agentgym.scripts import UnscriptedError

_SPAN = re.compile(r"<<([^<>\n]*)>>")
_END = "####"
_LEADS_TO_RESULT = re.compile(r"\s*=[\s=$€£]*$")
"""What a text has between a calculation and its result: it belongs to the result."""
_EQUALS = re.compile(r"\s*=\s*")
_LONGEST = 200
_ARITHMETIC = re.compile(r"[\d.+\-*/()\s]+")
_SPELLINGS = (
    (re.compile("[$€£]"), ""),
    (re.compile("[\N{MULTIPLICATION SIGN}\N{MIDDLE DOT}]|(?<=[\\d)% ])[xX](?=[\\d(. ])"), "*"),
    (re.compile("÷"), "/"),
    (re.compile("[\N{MINUS SIGN}\N{EN DASH}]"), "-"),
    (re.compile(r"\^"), "**"),
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
    (re.compile(r"(\d+\.?\d*|\.\d+)\s*%"), r"(\1/100)"),
    (re.compile(r"(?<=[\d)])\s*\("), "*("),
    (re.compile(r"(?<![\d.])0+(?=\d)"), ""),
)
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Pow, ast.UAdd, ast.USub)
_NODES = (ast.BinOp, ast.UnaryOp, ast.Constant, *_OPERATORS)


@dataclass(frozen=True, slots=True)
class Calculation:
    """One calculation.

    Attributes:
        expression: Python: numbers, operators and parentheses.
        result: What the text says it comes to, as it is written there.
    """

    expression: str
    result: str


@dataclass(frozen=True, slots=True)
class Program:
    """Code, and what the text says it prints.

    Attributes:
        code: Python.
        stated: A number for each line that it is to print; empty where nothing is known.
    """

    code: str
    stated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Worked:
    """A solution, cut where it calculates.

    Attributes:
        texts: What stands before each step's calculations, and after the last.
        steps: The calculations, step by step; one fewer than there are texts.
        answer: What it says in the end.
    """

    texts: tuple[str, ...]
    steps: tuple[tuple[Calculation, ...], ...]
    answer: str

    def at_most(self, steps: int) -> "Worked":
        """Return the solution with so many steps at most: neighbours are joined, evenly.

        Args:
            steps: At least 1.
        """
        count = len(self.steps)
        if count <= steps:
            return self
        cuts = [group * count // steps for group in range(steps + 1)]
        groups = list(pairwise(cuts))
        joined = tuple(sum(self.steps[start:end], ()) for start, end in groups)
        after = ("".join(self.texts[start + 1 : end + 1]) for start, end in groups)
        return Worked((self.texts[0], *after), joined, self.answer)

    def programs(self, question: str, *, stateful: bool) -> list[Program]:
        """Return a program for each step.

        A number that an earlier calculation of the program gave is taken from there by name, unless
        the question has it as well, and there is no telling which of the two was meant. What an
        earlier program gave is a number that was read, or a name where names outlive a program.

        Args:
            question: What is asked.
            stateful: Whether names outlive a program.
        """
        asked = set(map(_plain, re.findall(r"\d[\d,]*\.?\d*|\.\d+", question)))
        names: dict[str, str] = {}
        written: list[Program] = []
        number = 0
        for step in self.steps:
            if not stateful:
                names, number = {}, 0
            lines: list[str] = []
            for one in step:
                if len(step) == 1 and not stateful:
                    lines.append(f"print({one.expression})")
                    break
                number += 1
                name = f"x{number}"
                lines += [f"{name} = {_named(one.expression, names)}", f"print({name})"]
                if _plain(one.result) not in asked:
                    names[_plain(one.result)] = name
            written.append(Program("\n".join(lines), tuple(one.result for one in step)))
        return written


def read_worked(solution: str) -> Worked:
    """Read a solution; a line of its text with calculations in it is a step.

    Args:
        solution: The text; its answer follows `####`, stands in its last box, or else is the
            result of its last calculation.

    Raises:
        UnscriptedError: If it has no calculations, or one that can't be read.
    """
    body = solution.rpartition(_END)[0] if _END in solution else solution
    texts: list[str] = []
    steps: list[tuple[Calculation, ...]] = []
    text = ""
    for line in body.rstrip().splitlines(keepends=True):
        read = [(span.start(), _calculation(span[1])) for span in _SPAN.finditer(line)]
        found = [(at, one) for at, one in read if one is not None]
        if not found:
            text += plain_text(line)
            continue
        start = found[0][0]
        before, rest = plain_text(line[:start]), plain_text(line[start:])
        leads = _LEADS_TO_RESULT.search(before)
        if leads is not None:
            before, rest = before[: leads.start()], _EQUALS.sub("= ", leads[0]) + rest
        texts.append(text + before)
        steps.append(tuple(one for _, one in found))
        text = rest
    if not steps:
        raise UnscriptedError("no calculation", "the solution has no span such as <<6*7=42>>")
    texts.append(text)
    if any("<<" in one or ">>" in one for one in texts):
        raise UnscriptedError("unreadable calculation", "a span is not closed")
    states = _END in solution or boxed(solution) is not None
    answer = final_answer(solution) if states else steps[-1][-1].result
    return Worked(tuple(texts), tuple(steps), answer)


def plain_text(solution: str) -> str:
    """Return a solution without the marks of its calculations."""
    return _SPAN.sub("", solution)


def as_python(expression: str) -> str | None:
    """Return arithmetic as Python, written anew; None if it is anything else.

    Args:
        expression: Numbers, operators and parentheses; `$`, commas between thousands, `x`, `÷`,
            `^`, `20%` and `2(3)` are read as people mean them.
    """
    if len(expression) > _LONGEST:
        return None
    for pattern, meant in _SPELLINGS:
        expression = pattern.sub(meant, expression)
    if not _ARITHMETIC.fullmatch(expression):
        return None
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        if not all(isinstance(node, _NODES) for node in ast.walk(tree.body)):
            return None
        python = ast.unparse(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    # A float that takes an exponent to write is none that people calculate with.
    return None if "e" in python else python


def _calculation(inside: str) -> Calculation | None:
    """Read what stands in a span; None where there is nothing to calculate."""
    expression, equals, result = inside.partition("=")
    python = as_python(expression) if equals and "=" not in result else None
    if python is None or not result.strip():
        raise UnscriptedError("unreadable calculation", inside.strip()[:_LONGEST])
    if not re.search(r"[+\-*/]", python.lstrip("+-")):
        return None
    return Calculation(python, result.strip())


def _named(expression: str, names: dict[str, str]) -> str:
    """Write names in the place of the numbers that they stand for."""
    if not names:
        return expression
    return re.sub(r"[\d.]+", lambda found: names.get(_plain(found[0]), found[0]), expression)


def _plain(number: str) -> str:
    """Return one spelling for all spellings of a number: 1,350.50 and 1350.5 are the same."""
    digits = number.replace(",", "").strip("$ ")
    return digits.rstrip("0").rstrip(".") or "0" if "." in digits else digits.lstrip("0") or "0"
