"""`ObjectTable`: everyday objects, what is true of each, and the questions that ask for it."""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from agentgym.envs.dialogue.oracle import Answer
from agentgym.envs.dialogue.questions import core
from agentgym.errors import DataError

YES, NO = "Yes.", "No."
LOST = "I don't understand. Ask a yes/no question about it."

# A name by itself, or in a question that could be answered by it: "could it be a dog".
_GUESS = re.compile(r"(?:(?:is|was|can|could|might|would) it (?:be )?)?(.+)")


@dataclass(frozen=True, slots=True)
class Thing:
    """An object: its other names, and the attributes that are true of it."""

    name: str
    also: tuple[str, ...]
    attributes: frozenset[str]


class ObjectTable:
    """An oracle that looks answers up.

    What is not listed is false. A question that the table does not have, in these or in other words
    (`questions.core`), is not understood.

    Args:
        attributes: The questions that ask for each attribute.
        things: The objects.

    Attributes:
        things: The objects by name.
        mixed: Their names in an order that mixes all kinds.
        questions: One question per attribute.

    Raises:
        DataError: If a question or a name stands for two things, or an attribute is not there.
    """

    def __init__(self, attributes: Mapping[str, Sequence[str]], things: Sequence[Thing]) -> None:
        self.things = {thing.name: thing for thing in things}
        self.mixed = tuple(sorted(self.things, key=_shuffled))
        self.questions = tuple(questions[0] for questions in attributes.values())
        self._attribute = _index(
            (question, attribute)
            for attribute, questions in attributes.items()
            for question in questions
        )
        self._named = _index(
            (name, thing.name) for thing in things for name in (thing.name, *thing.also)
        )
        for thing in things:
            if unknown := sorted(thing.attributes - attributes.keys()):
                raise DataError(
                    f"{thing.name!r} has attributes that no question asks for: {unknown}"
                )
        asked = {_GUESS.sub(r"\1", question) for question in self._attribute}
        if both := sorted(asked & self._named.keys()):
            raise DataError(f"these are a question and a name at once: {both}")

    def answer(self, secret: str, question: str) -> Answer:
        """Answer a question about one of the objects."""
        meant = core(question)
        if (attribute := self._attribute.get(meant)) is not None:
            return Answer(YES if attribute in self.things[secret].attributes else NO)
        match = _GUESS.fullmatch(meant)
        named = None if match is None else self._named.get(match[1])
        if named is None:
            return Answer(LOST, understood=False)
        return Answer(f"Yes, it is: {secret}.", found=True) if named == secret else Answer(NO)


@cache
def object_table() -> ObjectTable:
    """Return the table that comes with the environment."""
    data = tomllib.loads(
        (files("agentgym.envs.dialogue.twenty_questions") / "objects.toml").read_text("utf-8")
    )
    things = [
        Thing(name, tuple(row.get("also", ())), frozenset(row["is"]))
        for name, row in data["objects"].items()
    ]
    return ObjectTable(data["attributes"], things)


def _shuffled(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _index(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    index: dict[str, str] = {}
    for words, meaning in pairs:
        other = index.setdefault(core(words), meaning)
        if other != meaning:
            raise DataError(f"{words!r} stands for {other!r} and for {meaning!r}")
    return index
