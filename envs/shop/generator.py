"""`generate`: products made up from word lists, the same ones for the same seed.

The first products of a larger catalogue are those of a smaller one. Each attribute of a product is
named in its title, its features or its description, so that who reads enough knows them all, and
none of its texts names another.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from agentgym.envs.dice import Dice
from agentgym.envs.shop.product import Product

_COUNTS = (3, 4, 4, 5)
"""How many attributes a product has, each as likely."""
_VALUES = (3, 7)
"""How many values of an option a product comes in, from and to."""
_OTHER = 0.3
"""How many descriptions mention another kind of product."""
_CENTS = (0.99, 0.99, 0.49, 0.95, 0.0)
_SMALL = frozenset(("and", "by", "in", "not", "of", "per", "to"))
"""Words that a title doesn't capitalise."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of product.

    Attributes:
        name: What one searches for.
        path: Its shelves.
        price: The lowest and the highest price, in dollars.
        attributes: What its products may be.
        options: Names of options, and all values.
        uses: What its products are made for.
    """

    name: str
    path: tuple[str, ...]
    price: tuple[float, float]
    attributes: tuple[str, ...]
    options: tuple[tuple[str, tuple[str, ...]], ...]
    uses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """The word lists.

    Attributes:
        brands: Who makes things.
        kinds: What is made.
        titles: Patterns of titles, by how many attributes they name.
        points: Patterns of a feature that names an attribute.
        sentences: Patterns of a sentence that names an attribute.
        fillers: Patterns of features that name none.
        openings: Patterns of a description's first sentence.
        others: Patterns of a sentence that names another kind.
    """

    brands: tuple[str, ...]
    kinds: tuple[Kind, ...]
    titles: tuple[tuple[str, ...], ...]
    points: tuple[str, ...]
    sentences: tuple[str, ...]
    fillers: tuple[str, ...]
    openings: tuple[str, ...]
    others: tuple[str, ...]


@cache
def word_lists() -> Words:
    """Return the word lists that come with the environment."""
    data = tomllib.loads((files("agentgym.envs.shop") / "words.toml").read_text("utf-8"))
    kinds = tuple(
        Kind(
            name=name,
            path=tuple(row["path"]),
            price=(row["price"][0], row["price"][1]),
            attributes=(*row["attributes"], *data["departments"][row["path"][0]]["attributes"]),
            options=tuple(
                (data["options"][option]["name"], tuple(data["options"][option]["values"]))
                for option in row["options"]
            ),
            uses=tuple(row["uses"]),
        )
        for name, row in data["kinds"].items()
    )
    lists = {name: tuple(data[name]) for name in ("brands", "points", "sentences", "fillers")}
    return Words(
        **lists,
        kinds=kinds,
        titles=tuple(tuple(patterns) for patterns in data["titles"]),
        openings=tuple(data["openings"]),
        others=tuple(data["others"]),
    )


def generate(count: int, seed: int = 0) -> list[Product]:
    """Return the first `count` products of a seed's catalogue."""
    words, dice = word_lists(), Dice(f"shop/{seed}")
    return [_product(number, words, dice) for number in range(count)]


def _product(number: int, words: Words, dice: Dice) -> Product:
    kind, brand = dice.pick(words.kinds), dice.pick(words.brands)
    model = f"{'ABCDEGHKLMNPRSTVXZ'[dice.between(0, 17)]}{dice.between(10, 99)}"
    attributes = _some(kind.attributes, dice.pick(_COUNTS), dice)
    named = dice.between(0, 2)
    fill = {"brand": brand, "kind": kind.name, "model": model, "use": dice.pick(kind.uses)}
    return Product(
        id=f"P{number:05d}",
        title=_title(dice.pick(words.titles[named]), fill, attributes[:named]),
        kind=kind.name,
        price=_price(kind.price, dice),
        brand=brand,
        path=kind.path,
        attributes=tuple(sorted(attributes)),  # the order would tell which ones the title names
        options={name: _offered(values, dice) for name, values in kind.options},
        features=_features(attributes[named:-1], fill, words, dice),
        description=_description(attributes[named:][-1:], fill, words, dice),
    )


def _title(pattern: str, fill: dict[str, str], named: Sequence[str]) -> str:
    title = pattern.format(**fill, **dict(zip("ab", named, strict=False)))
    return " ".join(
        word if word in _SMALL else word[:1].upper() + word[1:] for word in title.split(" ")
    )


def _features(
    attributes: Sequence[str], fill: dict[str, str], words: Words, dice: Dice
) -> tuple[str, ...]:
    points = [dice.pick(words.points).format(a=one, **fill) for one in attributes]
    points += [one.format(**fill) for one in _some(words.fillers, 2, dice)]
    return tuple(point[:1].upper() + point[1:] for point in dice.shuffled(points))


def _description(attributes: Sequence[str], fill: dict[str, str], words: Words, dice: Dice) -> str:
    sentences = [dice.pick(words.openings).format(**fill)]
    sentences += [dice.pick(words.sentences).format(a=one) for one in attributes]
    if dice.chance(_OTHER):
        other = dice.pick(words.kinds).name
        sentences.append(dice.pick(words.others).format(other=other))
    return " ".join(sentences)


def _price(price: tuple[float, float], dice: Dice) -> float:
    # As many products in each doubling of the price: shops have few that are dear.
    low, high = price
    return int(low * (high / low) ** dice.fraction()) + dice.pick(_CENTS)


def _offered(values: tuple[str, ...], dice: Dice) -> tuple[str, ...]:
    chosen = frozenset(_some(values, dice.between(*_VALUES), dice))
    return tuple(value for value in values if value in chosen)


def _some(items: Sequence[str], count: int, dice: Dice) -> list[str]:
    """Return so many of the items by chance, or all."""
    left = list(items)
    return [left.pop(dice.between(0, len(left) - 1)) for _ in range(min(count, len(left)))]
