"""`Product`: what the shop sells, and the row of a file that says it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn, cast

from agentgym.errors import DataError, nearest

_ID = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class Product:
    """A product. Its fields are those of a row in a catalogue's file.

    Attributes:
        id: What it is opened by; no two products share one, whatever the case.
        title: What the lists of results show.
        kind: What it is, in the words that one would search for: "travel mug".
        price: In dollars; the same whatever options are chosen.
        brand: Who makes it.
        path: Shelves from the outermost in: ("Kitchen", "Drinkware").
        attributes: What is true of it. No page lists them, but its texts may name them.
        options: What can be chosen, by name.
        features: Points of its features page.
        description: The text of its description page.
    """

    id: str
    title: str
    kind: str
    price: float
    brand: str = ""
    path: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    features: tuple[str, ...] = ()
    description: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """All that its pages say of it, but for its options."""
        return (self.title, *self.features, self.description)

    def row(self) -> dict[str, Any]:
        """Return the row that `read_product` makes this product of."""
        return {name: getattr(self, name) for name in _FIELDS}


_FIELDS = tuple(one.name for one in fields(Product))


def read_product(row: object, where: str) -> Product:
    """Return the product that a row describes; white space in its texts becomes single blanks.

    Args:
        row: What a line of a catalogue's file holds.
        where: The file and line, for messages.

    Raises:
        DataError: If a field is missing, unknown, or not what it should be.
    """
    if not isinstance(row, dict):
        raise DataError(f"{where}: a product is an object, not {type(row).__name__}")
    given = _Row(cast("dict[str, Any]", row), where)
    product = Product(
        id=given.text("id", required=True),
        title=given.text("title", required=True),
        kind=given.text("kind", required=True),
        price=given.price(),
        brand=given.text("brand"),
        path=given.texts("path"),
        attributes=given.texts("attributes"),
        options=given.options(),
        features=given.texts("features"),
        description=given.text("description"),
    )
    if not _ID.fullmatch(product.id):
        given.fault("id", f"has letters, digits and any of _ . - only; got {product.id!r}")
    return product


@dataclass(frozen=True, slots=True)
class _Row:
    """The fields of a row, each read as what it should be."""

    values: Mapping[str, Any]
    where: str

    def __post_init__(self) -> None:
        for name in self.values:
            if name not in _FIELDS:
                near = nearest(name, _FIELDS)
                hint = f"did you mean {near!r}?" if near else f"known: {', '.join(_FIELDS)}."
                raise DataError(f"{self.where}: there is no field {name!r}; {hint}")

    def fault(self, name: str, says: str) -> NoReturn:
        """Raise the error that says what is wrong with a field."""
        raise DataError(f"{self.where}: field {name!r} {says}")

    def text(self, name: str, *, required: bool = False) -> str:
        """Return a text."""
        if required and name not in self.values:
            self.fault(name, "is missing")
        text = self._clean(name, self.values.get(name, ""))
        if required and not text:
            self.fault(name, "is empty")
        return text

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, none of them empty."""
        return self._listed(name, self.values.get(name, []))

    def price(self) -> float:
        """Return the price."""
        price: object = self.values.get("price")
        if price is None:
            self.fault("price", "is missing")
        if isinstance(price, bool) or not isinstance(price, int | float):
            self.fault("price", f"is a number of dollars, got {price!r:.40}")
        if not (math.isfinite(price) and price >= 0):
            self.fault("price", f"is at least 0, got {price!r:.40}")
        return float(price)

    def options(self) -> dict[str, tuple[str, ...]]:
        """Return the options by name, no two values of one alike."""
        given: object = self.values.get("options", {})
        if not isinstance(given, dict):
            self.fault("options", f"is an object of lists, got {type(given).__name__}")
        options: dict[str, tuple[str, ...]] = {}
        for raw, listed in cast("dict[str, object]", given).items():
            name = self._clean("options", raw)
            values = self._listed(f"options.{name}", listed)
            if not name or not values or name in options:
                self.fault("options", f"has {raw!r:.40} without a name, twice, or without values")
            if len({value.casefold() for value in values}) < len(values):
                self.fault(f"options.{name}", "has a value twice")
            options[name] = values
        return options

    def _listed(self, name: str, given: object) -> tuple[str, ...]:
        if not isinstance(given, list):
            self.fault(name, f"is a list of texts, got {type(given).__name__}")
        listed = tuple(self._clean(name, one) for one in cast("list[object]", given))
        if not all(listed):
            self.fault(name, "has an empty text")
        return listed

    def _clean(self, name: str, text: object) -> str:
        if not isinstance(text, str):
            self.fault(name, f"is a text, got {text!r:.40}")
        return " ".join(text.split())
