"""`Shopper`: a buyer who reads, compares, and buys the best of what it has seen before time is up.

It knows what the goal's text says and what the pages have shown, whoever asked for them. Of each
product that it has seen it keeps what that would earn at least, going by what has been read, and
what it might earn at most. It reads on as long as something may turn out better than the best so
far and there are turns enough to come back to that.
"""

from dataclasses import dataclass, field

from agentgym.envs.shop.goals import Wish
from agentgym.envs.shop.pages import (
    Button,
    DetailsPage,
    ItemPage,
    Listing,
    Page,
    ResultsPage,
    SearchPage,
)
from agentgym.envs.shop.terms import says, terms
from agentgym.envs.shop.visit import click, search

_PAGES = 3
"""How many pages of one search's results it turns."""


@dataclass(slots=True)
class _Seen:
    """What is known of a product."""

    listing: Listing
    place: tuple[str, int]
    """The search and the page of its results that list it."""
    likeness: float
    """How much of the kind's name its title has."""
    named: frozenset[str]
    """The wanted attributes that its texts have named so far."""
    offered: int | None = None
    """How many of the wanted options it comes in; None before its page was read."""
    read: set[Button] = field(default_factory=set[Button])
    """What was read of its description and its features."""


class Shopper:
    """Says what to do next.

    Args:
        goal: The goal's text.
    """

    def __init__(self, goal: str) -> None:
        self._wish = Wish.read(goal)
        self._goal = goal
        wanted = (*self._wish.attributes, *self._wish.options.values())
        self._queries = tuple(
            dict.fromkeys(
                " ".join((self._wish.kind, *more)) for more in (wanted, self._wish.attributes, ())
            )
        )
        self._visited: set[tuple[str, int]] = set()
        """The searches and pages of results that were seen."""
        self._seen: dict[str, _Seen] = {}
        self._page: Page = SearchPage()
        self._results: ResultsPage | None = None

    def look(self, page: Page) -> None:
        """Read a page."""
        self._page = page
        if isinstance(page, ResultsPage):
            self._results = page
            self._visited.add((page.query, page.number))
            for listing in page.listings:
                if listing.id not in self._seen:
                    self._seen[listing.id] = self._first_sight(listing, page)
        elif isinstance(page, ItemPage):
            values = {value.casefold() for listed in page.options.values() for value in listed}
            self._seen[page.listing.id].offered = sum(
                value.casefold() in values for value in self._wish.options.values()
            )
        elif isinstance(page, DetailsPage):
            seen = self._seen[page.id]
            seen.read.add(page.button)
            seen.named |= self._named("\n".join(page.lines))

    def _first_sight(self, listing: Listing, page: ResultsPage) -> _Seen:
        kind = set(terms(self._wish.kind))
        return _Seen(
            listing,
            place=(page.query, page.number),
            likeness=len(kind.intersection(terms(listing.title))) / max(len(kind), 1),
            named=self._named(listing.title),
        )

    def _named(self, text: str) -> frozenset[str]:
        return frozenset(one for one in self._wish.attributes if says(text, one))

    def advise(self, turns: int) -> str:
        """Return the next command.

        Args:
            turns: How many turns are left, this one included.
        """
        if not self._seen:
            return self._look_further() or self._search(self._queries[-1])[0]
        best = max(self._seen.values(), key=self._least)
        finish = self._finish(best)
        # A step away from the best costs a turn, and may cost one more on the way back.
        if self._least(best) < 1 and turns >= len(finish) + 2:
            hope = max(self._seen.values(), key=lambda one: (self._most(one), self._least(one)))
            further = None if self._most(hope) >= 1 else self._look_further()
            if further is not None:
                return further
            if self._most(hope) > self._least(best):
                return self._learn(hope)
        return finish[0]

    def _learn(self, seen: _Seen) -> str:
        """Return the next step to knowing more about a product of which something is unknown."""
        unread = (one for one in (Button.FEATURES, Button.DESCRIPTION) if one not in seen.read)
        return [*self._route(seen), *map(click, unread)][0]

    def _look_further(self) -> str | None:
        """Return the next step to products that have not been seen; None where there are none."""
        page = self._results
        if (
            page is not None
            and page.number < min(page.pages, _PAGES)
            and (page.query, page.number + 1) not in self._visited
        ):
            return [*self._up(page), click(Button.NEXT)][0]
        searched = {query for query, _ in self._visited}
        new = next((query for query in self._queries if query not in searched), None)
        return None if new is None else self._search(new)[0]

    def _finish(self, seen: _Seen) -> list[str]:
        """Return the steps from here to having bought a product."""
        page = self._page
        route = self._route(seen)
        if isinstance(page, ItemPage) and not route:
            choices = [
                click(label)
                for label, (name, value) in page.choices().items()
                if self._wants(name, value) and page.chosen.get(name) != value
            ]
        else:
            choices = [click(value) for value in self._wish.options.values()]
        return [*route, *choices, click(Button.BUY)]

    def _wants(self, name: str, value: str) -> bool:
        if self._wish.options:
            return self._wish.options.get(name, "").casefold() == value.casefold()
        return self._wish.kind == self._goal and says(self._goal, value)

    def _route(self, seen: _Seen) -> list[str]:
        """Return the steps from here to a product's page."""
        page = self._page
        if isinstance(page, ItemPage) and page.listing.id == seen.listing.id:
            return []
        if isinstance(page, DetailsPage) and page.id == seen.listing.id:
            return [click(Button.PREVIOUS)]
        query, number = seen.place
        ways = [[*self._search(query), *[click(Button.NEXT)] * (number - 1)]]
        if self._results is not None and self._results.query == query:
            steps = number - self._results.number
            turn = click(Button.NEXT if steps > 0 else Button.PREVIOUS)
            ways.append([*self._up(self._results), *[turn] * abs(steps)])
        return [*min(ways, key=len), click(seen.listing.id)]

    def _up(self, results: ResultsPage) -> list[str]:
        """Return the steps from here to the results that were seen last."""
        if isinstance(self._page, SearchPage):
            return [*self._search(results.query), *[click(Button.NEXT)] * (results.number - 1)]
        depth = 1 if isinstance(self._page, ItemPage) else 2
        return [] if isinstance(self._page, ResultsPage) else [click(Button.PREVIOUS)] * depth

    def _search(self, query: str) -> list[str]:
        back = [] if isinstance(self._page, SearchPage) else [click(Button.BACK)]
        return [*back, search(query)]

    def _least(self, seen: _Seen) -> float:
        return self._value(seen, len(seen.named), seen.offered or 0)

    def _most(self, seen: _Seen) -> float:
        wish = self._wish
        named = len(seen.named) if len(seen.read) == 2 else len(wish.attributes)
        return self._value(seen, named, len(wish.options) if seen.offered is None else seen.offered)

    def _value(self, seen: _Seen, attributes: int, options: int) -> float:
        wish = self._wish
        cheap = wish.price_limit is None or seen.listing.price <= wish.price_limit
        wanted = len(wish.attributes) + len(wish.options) + 1
        return seen.likeness * (attributes + options + cheap) / wanted
