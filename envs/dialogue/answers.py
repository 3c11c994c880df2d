"""What a language model wrote, as a game shows it: a yes or a no, or a fact; without the name."""

import re
import unicodedata
from functools import lru_cache

from agentgym.actions.base import split_thought
from agentgym.envs.dialogue.table import NO, YES

_LONGEST = 300  # characters of a fact
_WORDS = re.compile(r"[^\W_]+")
# A player could have the name spelt: "P-a-r-i-s".
_BETWEEN_LETTERS = r"[\W_]{1,3}"
_INFLECTED = 4  # letters, from which on "Londoners" is taken for London, but "Rioja" not for Rio


def yes_or_no(written: str) -> str | None:
    """Return the answer as the table would give it; None if it is neither.

    Args:
        written: What the model wrote. It counts what it begins with ("No, it isn't."), or else what
            it ends with ("The answer is: yes"); what stands in between may be part of anything.
    """
    words = _WORDS.findall(split_thought(written)[1].lower())
    for word in words[:1] + words[-1:]:
        if word in ("yes", "no"):
            return YES if word == "yes" else NO
    return None


def fact(written: str) -> str | None:
    """Return the answer on one line, and short; None if there is none.

    Args:
        written: What the model wrote.
    """
    told = " ".join(split_thought(written)[1].split())
    if len(told) > _LONGEST:
        told = told[:_LONGEST].rsplit(" ", 1)[0] + " …"
    return told if _WORDS.search(told) else None


def without(text: str, name: str, instead: str) -> str:
    """Return the text with something else wherever a name stood.

    The name is found in any case, with or without accents, whatever stands between its words, spelt
    out letter by letter, and with an ending ("Parisian"). A translation of it is another name.

    Args:
        text: What was told.
        name: What it must not say.
        instead: What it says in its place; with a capital where the text begins with it.
    """
    folded, places = _folded(text)
    parts: list[str] = []
    done = 0
    for match in _pattern(name).finditer(folded):
        end = places[match.end()] if match.end() < len(places) else len(text)
        begins = not _WORDS.search(folded[: match.start()])
        parts += [
            text[done : places[match.start()]],
            instead[0].upper() + instead[1:] if begins else instead,
        ]
        done = end
    return "".join([*parts, text[done:]])


@lru_cache(maxsize=1024)
def _pattern(name: str) -> re.Pattern[str]:
    words = _WORDS.findall(_folded(name)[0])
    whole = r"[\W_]*".join(words) + (r"[^\W_]*" if len(words[-1]) >= _INFLECTED else "")
    spelt = _BETWEEN_LETTERS.join("".join(words))
    return re.compile(rf"(?<![^\W_])(?:(?:the )?city of )?(?:{whole}|{spelt})(?![^\W_])")


def _folded(text: str) -> tuple[str, list[int]]:
    """Return the text's plain lower-case letters, and where in the text each of them stands."""
    letters: list[str] = []
    places: list[int] = []
    for place, char in enumerate(text):
        for letter in unicodedata.normalize("NFKD", char).lower():
            # Accents, and what can't be seen: a zero-width space would hide the name from us alone.
            if not unicodedata.combining(letter) and unicodedata.category(letter) != "Cf":
                letters.append(letter)
                places.append(place)
    return "".join(letters), places
