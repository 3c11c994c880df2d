"""`Goal`: what is to be bought, and the text that says it; `Goals`: the tasks of a split.

A goal is made from a product: some of its attributes, a value of some of its options, and a price
a little above its own. Other products may do as well.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from agentgym.envs.dice import Dice
from agentgym.envs.shop.catalogue import Catalogue, whole
from agentgym.envs.shop.product import Product
from agentgym.errors import DataError, UnknownNameError
from agentgym.members import member
from agentgym.task import Task

_OPENINGS = ("Find me:", "I need:", "I am looking for:", "I want to buy:", "Please get me:")
_GOAL = re.compile(
    rf"(?:{'|'.join(_OPENINGS)}) (?P<kind>[^,]+)"
    r"(?P<attributes>(?:, (?!with )[^,]+?)*?)"
    r"(?:, with (?P<options>[^:]+: .+?))?"
    r"(?:, for at most \$(?P<limit>\d+(?:\.\d\d)?))?\."
)
_OPTION = re.compile(r", (?=[^,:]+: )")
_MOST_ATTRIBUTES = 3
_OPTION_SHARE = 0.75
"""How many of a product's options a goal has a wish for."""
_VALID_SHARE = 26
"""Of 256: a tenth of all goals are the validation's."""
_TRIES = 2_000


class Split(StrEnum):
    """Which goals."""

    TRAIN = "train"
    VALID = "valid"


GOALS: Mapping[Split, int] = {Split.TRAIN: 10_000, Split.VALID: 500}
"""How many goals the splits have unless told."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a goal's text asks for.

    Attributes:
        kind: What it is.
        attributes: What should be true of it.
        options: What should be chosen, by the option's name.
        price_limit: What it may cost, in dollars; None for any price.
    """

    kind: str
    attributes: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    price_limit: float | None = None

    def written(self, opening: str = _OPENINGS[0]) -> str:
        """Return the text."""
        parts = [f"{opening} {self.kind}", *self.attributes]
        if self.options:
            chosen = ", ".join(f"{name}: {value}" for name, value in self.options.items())
            parts.append(f"with {chosen}")
        if self.price_limit is not None:
            parts.append(f"for at most ${self.price_limit:.2f}")
        return ", ".join(parts) + "."

    @classmethod
    def read(cls, text: str) -> "Wish":
        """Return what a text asks for; one that isn't written like ours is a kind as a whole."""
        match = _GOAL.fullmatch(text)
        if match is None:
            return cls(text)
        listed = _OPTION.split(match["options"]) if match["options"] else []
        pairs = (option.partition(": ") for option in listed)
        return cls(
            kind=match["kind"],
            attributes=tuple(one for one in match["attributes"].split(", ") if one),
            options={name: value for name, _, value in pairs},
            price_limit=None if match["limit"] is None else float(match["limit"]),
        )


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be bought.

    Attributes:
        text: What the buyer is told.
        product: One that would do.
        wish: What the text asks for.
    """

    text: str
    product: Product
    wish: Wish

    @classmethod
    def of(cls, task: Task, catalogue: Catalogue) -> "Goal":
        """Return the goal of a task, whose `data` says it as `task_of` writes it.

        Raises:
            DataError: If the data don't say it, or its product is not in the catalogue.
        """
        data = task.data
        product = catalogue.find(str(data.get("product", "")))
        if product is None:
            raise DataError(
                f"Task {task.id!r}: there is no product {data.get('product')!r} in this catalogue; "
                "take tasks from the environment's `tasks`, or name one in data['product']."
            )
        attributes, options = data.get("attributes", ()), data.get("options", {})
        limit = data.get("price_limit")
        if (
            not isinstance(attributes, list | tuple)
            or not isinstance(options, Mapping)
            or not (limit is None or isinstance(limit, int | float))
        ):
            raise DataError(
                f"Task {task.id!r}: 'attributes' is a list of texts, 'options' texts by name, and "
                "'price_limit' a number or None."
            )
        wanted = tuple(str(one) for one in cast("list[object]", attributes))
        chosen = {str(k): str(v) for k, v in cast("Mapping[object, object]", options).items()}
        return cls(task.goal, product, Wish(product.kind, wanted, chosen, limit))


def task_of(task_id: str, goal: Goal) -> Task:
    """Return the task of a goal."""
    data: dict[str, Any] = {
        "product": goal.product.id,
        "attributes": list(goal.wish.attributes),
        "options": dict(goal.wish.options),
        "price_limit": goal.wish.price_limit,
    }
    return Task(task_id, goal.text, truth=goal.product.id, data=data)


class Goals:
    """A `TaskSet` of goals made from the products of a catalogue.

    What is wanted decides by a hash which split a goal belongs to, so the splits have none in
    common, not even one that differs in its wording or its price.

    Args:
        catalogue: The products.
        split: "train" or "valid".
        count: How many goals there are; 10,000 and 500 where None.

    Raises:
        UnknownNameError: If there is no such split.
        UsageError: If there would be no goals.
        DataError: If the catalogue is too small to have goals in this split.
    """

    def __init__(self, catalogue: Catalogue, split: str, count: int | None = None) -> None:
        self._split = member(Split, split, "split")
        self._count = GOALS[self._split] if count is None else whole("goals", count)
        self._products = [product for product in catalogue.products if product.attributes]
        if not self._products:
            raise DataError("None of the catalogue's products has attributes to make a goal of.")
        self.goal(0)  # a catalogue without goals should say so now

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int, /) -> Task:
        return task_of(f"{self._split}/{index}", self.goal(index))

    def find(self, task_id: str) -> int:
        """Return the number that an id ends with."""
        split, _, number = task_id.partition("/")
        if split == self._split and number.isascii() and number.isdecimal():
            index = int(number)
            if index < self._count and str(index) == number:
                return index
        raise UnknownNameError("task", task_id, [f"{self._split}/{self._count - 1}"])

    def goal(self, index: int) -> Goal:
        """Return goal number `index`; the same number is the same goal for ever."""
        dice = Dice(f"shop/{self._split}/{index}")
        for _ in range(_TRIES):
            product = dice.pick(self._products)
            wish = _wish(product, dice)
            if (_digest(wish) < _VALID_SHARE) == (self._split is Split.VALID):
                return Goal(wish.written(dice.pick(_OPENINGS)), product, wish)
        raise DataError(
            f"The catalogue is too small to have goals in the split {str(self._split)!r}: "
            f"{len(self._products)} of its products have attributes."
        )


def _wish(product: Product, dice: Dice) -> Wish:
    most = min(_MOST_ATTRIBUTES, len(product.attributes))
    return Wish(
        kind=product.kind,
        attributes=tuple(dice.shuffled(product.attributes)[: dice.between(1, most)]),
        options={
            name: dice.pick(values)
            for name, values in product.options.items()
            if dice.chance(_OPTION_SHARE)
        },
        price_limit=_limit(product.price, dice),
    )


def _limit(price: float, dice: Dice) -> float:
    """Return one of the three round prices above a price."""
    step = 5 if price < 50 else 10 if price < 200 else 50
    return float((int(price / step) + dice.between(1, 3)) * step)


def _digest(wish: Wish) -> int:
    wanted = [wish.kind, sorted(wish.attributes), sorted(wish.options.items())]
    return hashlib.sha256(json.dumps(wanted).encode()).digest()[0]
