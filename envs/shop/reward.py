"""`Score`: how well what was bought fits the goal, as WebShop scores it.

With the goal's attributes A and options O, of which a and o are matched, and p = 1 if the price is
within the limit,

    reward = type * (a + o + p) / (|A| + |O| + 1)

(Yao et al. 2022, arXiv 2207.01206; `get_reward` in web_agent_site/engine/goal.py of its code). The
type is 0 where the titles have no noun in common, 0.1 where less than a tenth of the goal's nouns
is, and else 1 if the kind, two shelves, or more than a fifth of the nouns are the same, 0.5 if not.

Where this differs from WebShop's code:

- Nouns of a title: spaCy's tags there; here the words without digits that belong to neither the
  brand nor the attributes nor the options.
- An attribute matches by token_set_ratio > 85 or as a substring of the texts there; here by its
  words among those of one attribute, or by its words in a row in the texts.
- An option matches by token_set_ratio > 85, of colors the first basic one that is named, there;
  here by being the same. The fuzzy match takes "x-large" for "large", and "pack of 1" for "pack
  of 2".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agentgym.envs.shop.goals import Goal
from agentgym.envs.shop.product import Product
from agentgym.envs.shop.terms import says, terms

_NO_NOUNS = 0.2
"""What share of a title without nouns another title has, as in WebShop."""


@dataclass(frozen=True, slots=True)
class Score:
    """What was bought beside what was wanted.

    Attributes:
        type: 0, 0.1, 0.5 or 1.
        attributes: How many attributes match, and of how many.
        options: How many options match, and of how many.
        price: Whether the price is within the limit.
    """

    type: float
    attributes: tuple[int, int]
    options: tuple[int, int]
    price: bool

    @property
    def reward(self) -> float:
        """The reward, from 0 to 1."""
        matched = self.attributes[0] + self.options[0] + self.price
        return self.type * matched / (self.attributes[1] + self.options[1] + 1)

    def metrics(self) -> dict[str, float]:
        """Return its parts, each from 0 to 1; what was not asked for is left out."""
        parts = {"type_match": self.type, "price_match": float(self.price)}
        for name, (matched, wanted) in (
            ("attribute_match", self.attributes),
            ("option_match", self.options),
        ):
            if wanted:
                parts[name] = matched / wanted
        return parts


def score(goal: Goal, product: Product, chosen: Mapping[str, str]) -> Score:
    """Return the score of a product with the options that were chosen."""
    wish = goal.wish
    values = {value.casefold() for value in chosen.values()}
    return Score(
        type=_type(goal.product, product),
        attributes=(
            sum(_has(product, attribute) for attribute in wish.attributes),
            len(wish.attributes),
        ),
        options=(
            sum(value.casefold() in values for value in wish.options.values()),
            len(wish.options),
        ),
        price=wish.price_limit is None or product.price <= wish.price_limit,
    )


def _has(product: Product, attribute: str) -> bool:
    words = frozenset(terms(attribute))
    listed = any(words <= frozenset(terms(one)) for one in product.attributes)
    return bool(words) and (listed or any(says(text, attribute) for text in product.texts))


def _type(wanted: Product, bought: Product) -> float:
    nouns = _nouns(wanted)
    share = len(nouns & _nouns(bought)) / len(nouns) if nouns else _NO_NOUNS
    if share < 0.1:
        return 0.1 if share else 0.0
    same = (
        wanted.kind.casefold() == bought.kind.casefold()
        or len(set(wanted.path) & set(bought.path)) >= 2
        or share > 0.2
    )
    return 1.0 if same else 0.5


def _nouns(product: Product) -> frozenset[str]:
    """Return the words of the title that say what it is."""
    values = (value for listed in product.options.values() for value in listed)
    others = _words((product.brand, *product.attributes, *values))
    return frozenset(
        word
        for word in terms(product.title)
        if word not in others and not any(char.isdigit() for char in word)
    )


def _words(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(word for text in texts for word in terms(text))
