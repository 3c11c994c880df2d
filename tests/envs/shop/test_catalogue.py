"""Catalogues: the generated one holds together and is the same everywhere; files are read."""

import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from agentgym.envs.shop.catalogue import Catalogue
from agentgym.envs.shop.generator import generate, word_lists
from agentgym.envs.shop.product import Product, read_product
from agentgym.envs.shop.terms import says, terms
from agentgym.errors import DataError, UsageError

ROW: dict[str, Any] = {"id": "mug-1", "title": "Blue  Mug", "kind": "mug", "price": 12}

SHOW = """
from agentgym.envs.shop.catalogue import Catalogue
shop = Catalogue.generated(500)
print(shop.digest, [one.id for one in shop.search("travel mug leak proof navy blue", 50)])
"""


def test_the_same_seed_is_the_same_catalogue_whatever_its_size() -> None:
    few, many = generate(50), generate(200)
    assert many[:50] == few
    assert generate(50, seed=1) != few
    # Whoever changes what is generated makes a new version of the environment.
    assert Catalogue(many).digest == "f62e90cc7baca627"


def test_another_process_makes_and_finds_the_same() -> None:
    shown = [
        subprocess.run(
            [sys.executable, "-c", SHOW],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        for seed in ("1", "4711")
    ]
    assert shown[0] == shown[1] != ""


def test_texts_name_a_product_s_attributes_and_no_others() -> None:
    kinds = {kind.name: kind for kind in word_lists().kinds}
    for product in generate(1500):
        text = "\n".join(product.texts)
        named = {one for one in kinds[product.kind].attributes if says(text, one)}
        assert named == set(product.attributes), product
        assert says(product.title, product.kind)
        low, high = kinds[product.kind].price
        assert low <= product.price < high + 1
        assert len(product.attributes) >= 3
        assert all(len(values) >= 2 for values in product.options.values())


def test_some_attributes_stand_in_titles_and_some_further_down() -> None:
    products = generate(1000)
    places = Counter[str]()
    for product in products:
        for attribute in product.attributes:
            places["title"] += says(product.title, attribute)
            places["features"] += any(says(one, attribute) for one in product.features)
            places["description"] += says(product.description, attribute)
    assert min(places.values()) > 500


def test_no_word_stands_for_two_kinds_or_for_a_kind_and_what_it_may_be() -> None:
    kinds = word_lists().kinds
    counts = Counter(word for kind in kinds for word in set(terms(kind.name)))
    assert max(counts.values()) == 1
    for kind in kinds:
        values = [value for _, listed in kind.options for value in listed]
        said = {word for text in (*kind.attributes, *values) for word in terms(text)}
        assert not said.intersection(terms(kind.name)), kind
        sets = [frozenset(terms(one)) for one in kind.attributes]
        assert not any(one <= other for one in sets for other in sets if one is not other), kind


def test_catalogues_are_shared_and_travel_light() -> None:
    shop = Catalogue.generated(60)
    assert Catalogue.generated(60) is shop
    assert pickle.loads(pickle.dumps(shop)) is shop
    assert len(pickle.dumps(shop)) < 500
    own = Catalogue([Product("a", "Mug", "mug", 1)])
    assert pickle.loads(pickle.dumps(own)).products == own.products
    with pytest.raises(DataError, match="needs products"):
        Catalogue([])
    with pytest.raises(DataError, match="no two with the same id"):
        Catalogue([Product("a", "Mug", "mug", 1), Product("A", "Mug", "mug", 1)])
    for count in (0, -3, 2.5, True, "10"):
        with pytest.raises(UsageError, match="products must be a whole number from 1"):
            Catalogue.generated(count)  # pyright: ignore[reportArgumentType]


def test_a_file_holds_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "shop.jsonl"
    shop = Catalogue.generated(60)
    shop.write(file)
    read = Catalogue.read(file)
    assert read.products == shop.products
    assert read.digest == shop.digest
    assert Catalogue.read(str(file)) is read
    assert pickle.loads(pickle.dumps(read)) is read
    assert Catalogue.read(file, 3).products == shop.products[:3]
    Catalogue.generated(61).write(file)
    assert len(Catalogue.read(file).products) == 61
    with pytest.raises(UsageError, match="whole number from 1"):
        Catalogue.read(file, 0)


def test_a_row_needs_little_and_white_space_is_blank(tmp_path: Path) -> None:
    file = tmp_path / "shop.jsonl"
    file.write_bytes(b"\n" + orjson.dumps(ROW) + b"\r\n\n")
    assert Catalogue.read(file).products == (Product("mug-1", "Blue Mug", "mug", 12.0),)
    assert read_product({**ROW, "features": [" a\n b "]}, "here").features == ("a b",)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"id": None}, "field 'id' is a text, got None"),
        ({"id": "a b"}, "field 'id' has letters, digits"),
        ({"title": " "}, "field 'title' is empty"),
        ({"price": "12"}, "field 'price' is a number of dollars, got '12'"),
        ({"price": True}, "field 'price' is a number of dollars"),
        ({"price": -1}, "field 'price' is at least 0, got -1"),
        ({"price": None}, "field 'price' is missing"),
        ({"attributes": "red"}, "field 'attributes' is a list of texts, got str"),
        ({"features": [1]}, "field 'features' is a text, got 1"),
        ({"path": [""]}, "field 'path' has an empty text"),
        ({"options": ["red"]}, "field 'options' is an object of lists, got list"),
        ({"options": {"color": []}}, "field 'options' has 'color' without"),
        ({"options": {"color": "red"}}, "field 'options.color' is a list of texts, got str"),
        ({"options": {"color": ["red", "Red"]}}, "field 'options.color' has a value twice"),
        ({"atributes": []}, "there is no field 'atributes'; did you mean 'attributes'?"),
        ({"stars": 5}, "there is no field 'stars'; known: id, title"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(
    change: dict[str, Any], says: str, tmp_path: Path
) -> None:
    file = tmp_path / "shop.jsonl"
    file.write_bytes(orjson.dumps(ROW) + b"\n" + orjson.dumps({**ROW, "id": "b", **change}))
    with pytest.raises(DataError) as fault:
        Catalogue.read(file)
    assert says in str(fault.value)
    assert f"{file}, line 2" in str(fault.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "has no products"),
        (b"{", "line 1: not valid JSON"),
        (b'{"id": "\xff"}', "line 1: not valid JSON"),
        (b"[]", "line 1: a product is an object, not list"),
        (b'{"id": "a"}', "line 1: field 'title' is missing"),
        (orjson.dumps(ROW) * 1 + b"\n" + orjson.dumps({**ROW, "id": "MUG-1"}), "a second time"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.jsonl"
    file.write_bytes(text)
    with pytest.raises(DataError, match=says):
        Catalogue.read(file)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path, "a\0b"):
        with pytest.raises(DataError, match="can't be read"):
            Catalogue.read(path)
