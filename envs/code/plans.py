"""`plan`: what somebody would say before running the code that solves a generated problem."""

from agentgym.envs.code.families import Level

AFTER = "That is what was asked for."
"""What is said after the code has printed the answer."""

_ALIKE = {
    "arithmetic": "These numbers are too long for the head, so I compute the expression.",
    "modular": "I compute the power and keep the remainder.",
    "counting": "I count them one by one.",
    "linear": "I solve the system by elimination, with exact fractions, and put the values in.",
    "polynomial": "I put x in, term by term.",
    "integral": "I take the antiderivative, with exact fractions, at both ends and subtract.",
}
_SPECIAL = {
    ("arithmetic", Level.HARD): "I compute the whole number and add up its digits.",
    ("modular", Level.TINY): "I compute the expression and keep the remainder.",
    ("modular", Level.MEDIUM): "x is the inverse modulo that number, which Python can compute.",
    ("modular", Level.HARD): (
        "I build the number up: one condition after the other, in steps that keep the earlier ones."
    ),
    ("counting", Level.MEDIUM): (
        "I count the paths to every point, row by row, with none through the forbidden one."
    ),
    ("counting", Level.HARD): (
        "I take the coins one kind after the other and remember what was counted before."
    ),
    ("polynomial", Level.MEDIUM): "I multiply out, factor by factor, and read the coefficient off.",
    ("polynomial", Level.HARD): "I multiply out, factor by factor, and read the coefficient off.",
}


def plan(family: str, level: Level) -> str:
    """Return what is said before the code of a family's problems."""
    return _SPECIAL.get((family, level), _ALIKE[family])
