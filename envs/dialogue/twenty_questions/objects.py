"""`ObjectTable`: everyday objects, what is true of each, and the questions that ask for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from agentgym.envs.dialogue.oracle import Answer
from agentgym.envs.dialogue.questions import core, guessed
from agentgym.envs.dialogue.table import NO, YES, index, mixed, read_table
from agentgym.errors import DataError

LOST = "I don't understand. Ask a yes/no question about it."


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
        self.mixed = mixed(self.things)
        self.questions = tuple(questions[0] for questions in attributes.values())
        self._attribute = index(
            (question, attribute)
            for attribute, questions in attributes.items()
            for question in questions
        )
        self._named = index(
            (name, thing.name) for thing in things for name in (thing.name, *thing.also)
        )
        for thing in things:
            if unknown := sorted(thing.attributes - attributes.keys()):
                raise DataError(
                    f"{thing.name!r} has attributes that no question asks for: {unknown}"
                )
        asked = {guessed(question) for question in self._attribute}
        if both := sorted(asked & self._named.keys()):
            raise DataError(f"these are a question and a name at once: {both}")

    def answer(self, secret: str, question: str) -> Answer:
        """Answer a question about one of the objects."""
        meant = core(question)
        if (attribute := self._attribute.get(meant)) is not None:
            return Answer(YES if attribute in self.things[secret].attributes else NO)
        named = self._named.get(guessed(meant))
        if named is None:
            return Answer(LOST, understood=False)
        return Answer(f"Yes, it is: {secret}.", found=True) if named == secret else Answer(NO)

    def named(self, question: str) -> str | None:
        """Return the object that a question names; None if it names none."""
        return self._named.get(guessed(core(question)))

    def names(self, secret: str) -> tuple[str, ...]:
        """Return all names of an object."""
        return (secret, *self.things[secret].also)


@cache
def object_table() -> ObjectTable:
    """Return the table that comes with the environment."""
    data = read_table("agentgym.envs.dialogue.twenty_questions", "objects.toml")
    things = [
        Thing(name, tuple(row.get("also", ())), frozenset(row["is"]))
        for name, row in data["objects"].items()
    ]
    return ObjectTable(data["attributes"], things)
