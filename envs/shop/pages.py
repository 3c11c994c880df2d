"""The shop's pages: what each shows, and what can be clicked on it.

A page is rows of parts; how they become a text is the style's business. The expert reads pages as
well: each holds what it shows and nothing else, but for the search that the buyer wrote.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from agentgym.envs.shop.product import Product


class Button(StrEnum):
    """What can be clicked besides products and options."""

    BACK = "Back to Search"
    NEXT = "Next >"
    PREVIOUS = "< Prev"
    DESCRIPTION = "Description"
    FEATURES = "Features"
    BUY = "Buy Now"


class Style(StrEnum):
    """How a page is written."""

    LINES = "lines"
    """A row a line, and what can be clicked in brackets."""
    SEP = "sep"
    """All in one line, a [SEP] between any two parts, as in WebShop's text mode."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a page.

    Attributes:
        text: What it says.
        clickable: Whether it can be clicked.
    """

    text: str
    clickable: bool = False


Row = tuple[Part, ...]


class Page(Protocol):
    """What a buyer sees."""

    def rows(self) -> Sequence[Row]:
        """Return what it shows below the instruction."""
        ...


@dataclass(frozen=True, slots=True)
class SearchPage:
    """The form to search with."""

    def rows(self) -> Sequence[Row]:
        """Return the form, which is no button: searching takes words."""
        return [_says("Search")]


@dataclass(frozen=True, slots=True)
class Listing:
    """A product in a list of results."""

    id: str
    title: str
    price: float

    @classmethod
    def of(cls, product: Product) -> "Listing":
        """Return what a list says of a product."""
        return cls(product.id, product.title, product.price)


@dataclass(frozen=True, slots=True)
class ResultsPage:
    """A page of what a search found.

    Attributes:
        query: What was searched for.
        listings: The products on this page, the best first.
        number: Which page it is, from 1.
        pages: How many there are.
        total: How many products all pages have.
    """

    query: str
    listings: tuple[Listing, ...]
    number: int
    pages: int
    total: int

    def rows(self) -> Sequence[Row]:
        """Return the buttons and the list."""
        before = (_button(Button.PREVIOUS),) if self.number > 1 else ()
        after = (_button(Button.NEXT),) if self.number < self.pages else ()
        return [
            (_button(Button.BACK), *before, *after),
            _says(f"Page {self.number} (Total results: {self.total})"),
            *(
                (Part(one.id, clickable=True), Part(one.title), Part(_dollars(one.price)))
                for one in self.listings
            ),
        ]


@dataclass(frozen=True, slots=True)
class ItemPage:
    """A product's page.

    Attributes:
        listing: What the list said.
        options: What can be chosen, by name.
        chosen: What has been chosen.
    """

    listing: Listing
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    chosen: Mapping[str, str] = field(default_factory=dict[str, str])

    def rows(self) -> Sequence[Row]:
        """Return the buttons, the options and what the list said."""
        choices: dict[str, list[Part]] = {name: [] for name in self.options}
        for label, (name, _) in self.choices().items():
            choices[name].append(Part(label, clickable=True))
        return [
            (_button(Button.BACK), _button(Button.PREVIOUS)),
            *((Part(f"{name}:"), *parts) for name, parts in choices.items()),
            *(
                _says(f"chosen {name}: {self.chosen[name]}")
                for name in choices
                if name in self.chosen
            ),
            (Part(self.listing.id), Part(self.listing.title)),
            _says(f"Price: {_dollars(self.listing.price)}"),
            (_button(Button.DESCRIPTION), _button(Button.FEATURES), _button(Button.BUY)),
        ]

    def choices(self) -> dict[str, tuple[str, str]]:
        """Return (option, value) by what is clicked for it.

        That is the value, unless another option has it too or a button is called like it: then
        the option's name stands before it.
        """
        taken = [button.casefold() for button in Button]
        taken += [value.casefold() for values in self.options.values() for value in values]
        return {
            value if taken.count(value.casefold()) == 1 else f"{name}: {value}": (name, value)
            for name, values in self.options.items()
            for value in values
        }


@dataclass(frozen=True, slots=True)
class DetailsPage:
    """A product's description or features.

    Attributes:
        id: The product.
        button: What led here.
        lines: What it says.
    """

    id: str
    button: Button
    lines: tuple[str, ...]

    def rows(self) -> Sequence[Row]:
        """Return the buttons and the text."""
        return [
            (_button(Button.BACK), _button(Button.PREVIOUS)),
            *(_says(line) for line in self.lines or ("Nothing is said here.",)),
        ]


@dataclass(frozen=True, slots=True)
class BoughtPage:
    """The end.

    Attributes:
        listing: What was bought.
        reward: What that earned.
    """

    listing: Listing
    reward: float

    def rows(self) -> Sequence[Row]:
        """Return what was bought, and the score."""
        bought = f"You bought {self.listing.id} for {_dollars(self.listing.price)}."
        return [_says(bought), _says(f"Your score: {self.reward:.2f} of 1.00")]


def clickables(page: Page) -> list[str]:
    """Return what can be clicked, in the order of the page."""
    return [part.text for row in page.rows() for part in row if part.clickable]


def written(page: Page, instruction: str, style: Style) -> str:
    """Return a page's text, with the instruction above it.

    Args:
        page: The page.
        instruction: The goal.
        style: How it is written.
    """
    if style is Style.SEP:
        parts = ["Instruction:", instruction, *(part.text for row in page.rows() for part in row)]
        return " [SEP] ".join(parts)
    return "\n".join([f"Instruction: {instruction}", *(_line(row) for row in page.rows())])


def _line(row: Iterable[Part]) -> str:
    return " ".join(f"[{part.text}]" if part.clickable else part.text for part in row)


def _button(button: Button) -> Part:
    return Part(str(button), clickable=True)


def _says(text: str) -> Row:
    return (Part(text),)


def _dollars(price: float) -> str:
    return f"${price:,.2f}"
