"""`Visit`: one buyer in the shop, and where the buyer's commands lead."""

import re
from math import ceil

from agentgym.envs.shop.catalogue import Catalogue
from agentgym.envs.shop.goals import Goal
from agentgym.envs.shop.pages import (
    BoughtPage,
    Button,
    DetailsPage,
    ItemPage,
    Listing,
    Page,
    ResultsPage,
    SearchPage,
    clickables,
)
from agentgym.envs.shop.product import Product
from agentgym.envs.shop.reward import Score, score
from agentgym.envs.shop.terms import terms

MOST_RESULTS = 50
"""How many products a search finds at most, as in WebShop."""

_COMMAND = re.compile(r"\s*(search|click)\s*\[(.*)\]\s*", re.IGNORECASE | re.DOTALL)
_SHOWN = 60
"""How many characters of a model's mistake are told back to it."""


class Visit:
    """A buyer's way from the search form to the end.

    Args:
        catalogue: What there is.
        goal: What is to be bought.
        results_per_page: How many products a page of results has.

    Attributes:
        page: What the buyer sees.
        score: How well what was bought fits the goal; None before.
        searches: How often the buyer has searched.
        opened: How often the buyer has opened a product.
    """

    def __init__(self, catalogue: Catalogue, goal: Goal, results_per_page: int) -> None:
        self._catalogue = catalogue
        self._goal = goal
        self._per_page = results_per_page
        self._found: tuple[Product, ...] = ()
        self._results: ResultsPage | None = None
        self._product: Product | None = None
        self._chosen: dict[str, str] = {}
        self.page: Page = SearchPage()
        self.score: Score | None = None
        self.searches = 0
        self.opened = 0

    def commands(self) -> list[str]:
        """Return what can be done here; of all searches, the one for the kind that is wanted."""
        if isinstance(self.page, SearchPage):
            return [search(self._goal.wish.kind)]
        return [click(label) for label in clickables(self.page)]

    def do(self, command: str) -> str | None:
        """Carry out a command; return what is wrong with it, if something is."""
        match = _COMMAND.fullmatch(command)
        if match is None:
            return "That is no action here. Write search[words] or click[what to click]."
        target = " ".join(match[2].split())
        return self._search(target) if match[1].lower() == "search" else self._click(target)

    def _search(self, query: str) -> str | None:
        if not isinstance(self.page, SearchPage):
            return f"There is no search form on this page; {click(Button.BACK)} leads to it."
        if not terms(query):
            return "There is nothing to search for; write search[words]."
        self.searches += 1
        self._found = self._catalogue.search(query, MOST_RESULTS)
        self._show_results(query, 1)
        return None

    def _click(self, target: str) -> str | None:
        labels = {label.casefold(): label for label in clickables(self.page)}
        label = labels.get(target.casefold())
        if label is None:
            short = target if len(target) <= _SHOWN else target[:_SHOWN] + "…"
            offered = ", ".join(labels.values()) or "nothing"
            return f"There is no {short!r} to click here. What can be clicked: {offered}."
        if label == Button.BACK:
            self.page = SearchPage()
        elif isinstance(self.page, ResultsPage):
            self._from_results(self.page, label)
        elif isinstance(self.page, ItemPage):
            self._from_item(self.page, label)
        else:
            self._show_item()
        return None

    def _from_results(self, page: ResultsPage, label: str) -> None:
        if label in (Button.NEXT, Button.PREVIOUS):
            self._show_results(page.query, page.number + (1 if label == Button.NEXT else -1))
            return
        self._product = self._catalogue.find(label)
        self._chosen = {}
        self.opened += 1
        self._show_item()

    def _from_item(self, page: ItemPage, label: str) -> None:
        product = self._product
        assert product is not None  # an item's page is that of a product
        if label == Button.PREVIOUS:
            assert self._results is not None  # the page that led here
            self.page = self._results
        elif label == Button.DESCRIPTION:
            lines = (product.description,) if product.description else ()
            self.page = DetailsPage(product.id, Button.DESCRIPTION, lines)
        elif label == Button.FEATURES:
            self.page = DetailsPage(product.id, Button.FEATURES, product.features)
        elif label == Button.BUY:
            self.score = score(self._goal, product, self._chosen)
            self.page = BoughtPage(page.listing, self.score.reward)
        else:
            name, value = page.choices()[label]
            self._chosen[name] = value
            self._show_item()

    def _show_results(self, query: str, number: int) -> None:
        first = (number - 1) * self._per_page
        self._results = ResultsPage(
            query=query,
            listings=tuple(Listing.of(one) for one in self._found[first : first + self._per_page]),
            number=number,
            pages=ceil(len(self._found) / self._per_page),
            total=len(self._found),
        )
        self.page = self._results

    def _show_item(self) -> None:
        assert self._product is not None  # chosen from a list before
        self.page = ItemPage(Listing.of(self._product), self._product.options, dict(self._chosen))


def search(query: str) -> str:
    """Return the command that searches."""
    return f"search[{query}]"


def click(label: str) -> str:
    """Return the command that clicks."""
    return f"click[{label}]"
