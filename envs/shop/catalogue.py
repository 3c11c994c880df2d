"""`Catalogue`: the products of a shop, found by id or by a search.

A catalogue is generated, or read from a file with a product a line. Making one takes a second, so
the environments of a process share what is the same, and it is sent to another process as what it
was made from.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from agentgym.envs.shop.generator import generate
from agentgym.envs.shop.product import Product, read_product
from agentgym.envs.shop.search import Bm25
from agentgym.envs.shop.terms import terms
from agentgym.errors import DataError, UsageError

Recipe = tuple[Callable[..., "Catalogue"], tuple[Any, ...]]

PRODUCTS = 10_000
"""How many products are generated unless told."""

_QUERY_TERMS = 64
"""So many terms of a query count; what a model writes without end must not cost without end."""
_SEARCHES_KEPT = 4096


class Catalogue:
    """Products to search.

    Args:
        products: At least one; their ids differ in more than the case.
        made_by: A function and arguments that make this catalogue again in another process, which
            is sent them in its place.

    Attributes:
        products: The products.

    Raises:
        DataError: If there are none, or two have one id.
    """

    def __init__(self, products: Sequence[Product], *, made_by: Recipe | None = None) -> None:
        self.products = tuple(products)
        self._by_id = {product.id.casefold(): product for product in self.products}
        if not self.products or len(self._by_id) < len(self.products):
            raise DataError("A catalogue needs products, and no two with the same id.")
        self._found = lru_cache(maxsize=_SEARCHES_KEPT)(self._look_up)
        self._made_by: Recipe = made_by or (Catalogue, (self.products,))

    def __reduce__(self) -> Recipe:
        return self._made_by

    @classmethod
    def generated(cls, count: int = PRODUCTS, seed: int = 0) -> "Catalogue":
        """Return the generated catalogue of a seed; the same object if it is asked for again.

        Raises:
            UsageError: If there would be no products, or the seed is no whole number from 0.
        """
        return _generated(whole("products", count), whole("catalogue_seed", seed, least=0))

    @classmethod
    def read(cls, path: str | Path, count: int | None = None) -> "Catalogue":
        """Return the catalogue of a file; the same object while the file doesn't change.

        Args:
            path: A JSONL file; its rows have the fields of `Product`.
            count: Reads only the first so many products.

        Raises:
            DataError: If the file can't be read; the message names the line and the field.
            UsageError: If there would be no products.
        """
        if count is not None:
            count = whole("products", count)
        try:
            file = Path(path).resolve()
            stat = file.stat()
        except (OSError, ValueError) as fault:
            raise DataError(f"The catalogue {path} can't be read: {fault}") from fault
        return _read(file, count, (stat.st_mtime_ns, stat.st_size))

    def write(self, path: str | Path) -> None:
        """Write the file that `read` reads."""
        Path(path).write_bytes(self._lines)

    def find(self, product_id: str) -> Product | None:
        """Return the product of an id, whatever its case; None if there is none."""
        return self._by_id.get(product_id.casefold())

    def search(self, query: str, count: int) -> tuple[Product, ...]:
        """Return the products that say most of what a query asks for, the best first.

        Args:
            query: Words; the first `_QUERY_TERMS` of them count.
            count: How many at most.
        """
        return self._found(tuple(terms(query)[:_QUERY_TERMS]), count)

    @cached_property
    def digest(self) -> str:
        """A hash of all products."""
        return hashlib.sha256(self._lines).hexdigest()[:16]

    @property
    def _lines(self) -> bytes:
        return b"".join(orjson.dumps(product.row()) + b"\n" for product in self.products)

    def _look_up(self, query: tuple[str, ...], count: int) -> tuple[Product, ...]:
        return tuple(self.products[number] for number in self._index.search(query, count))

    @cached_property
    def _index(self) -> Bm25:
        known = lru_cache(maxsize=None)(terms)  # texts are put together from parts that recur

        def words(product: Product) -> list[str]:
            listed = [f"{name} {' '.join(values)}" for name, values in product.options.items()]
            return [
                term
                for text in (product.kind, *product.texts, product.brand, *listed)
                for term in known(text)
            ]

        return Bm25(map(words, self.products))


def whole(name: str, value: object, least: int = 1) -> int:
    """Return the number that an option gives.

    Raises:
        UsageError: If it is no whole number, or too small.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise UsageError(f"{name} must be a whole number from {least}, got {value!r}")
    return int(value)


@lru_cache(maxsize=4)
def _generated(count: int, seed: int) -> Catalogue:
    return Catalogue(generate(count, seed), made_by=(Catalogue.generated, (count, seed)))


@lru_cache(maxsize=4)
def _read(file: Path, count: int | None, version: tuple[int, int]) -> Catalogue:
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as fault:
        raise DataError(f"The catalogue {file} can't be read: {fault}") from fault
    products: dict[str, Product] = {}
    for number, line in enumerate(lines, 1):
        if len(products) == count:
            break
        if line.strip():
            where = f"{file}, line {number}"
            product = read_product(_parsed(line, where), where)
            if product.id.casefold() in products:
                raise DataError(f"{where}: field 'id' has {product.id!r} a second time")
            products[product.id.casefold()] = product
    if not products:
        raise DataError(f"The catalogue {file} has no products; it needs one a line.")
    return Catalogue(list(products.values()), made_by=(Catalogue.read, (file, count)))


def _parsed(line: bytes, where: str) -> object:
    try:
        return orjson.loads(line)
    except ValueError as fault:
        raise DataError(f"{where}: not valid JSON: {fault}") from fault
