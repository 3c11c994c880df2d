"""`terms`: the words of a text that count when texts are searched or compared."""

import re

from agentgym.envs.plurals import singular

_WORD = re.compile(r"[^\W_]+")
_LITTLE = frozenset(
    _WORD.findall(
        "a an and are as at be but by for from has i if in into is it its me my of on or so that "
        "the their them then there these they this to was we will with you your"
    )
)


def terms(text: str) -> list[str]:
    """Return the words of a text in order: lower case, without little words and a plural's s."""
    return [singular(word) for word in _WORD.findall(text.casefold()) if word not in _LITTLE]


def says(text: str, phrase: str) -> bool:
    """Return whether the phrase's words stand in the text, one after the other."""
    wanted = " ".join(terms(phrase))
    return bool(wanted) and f" {wanted} " in f" {' '.join(terms(text))} "
