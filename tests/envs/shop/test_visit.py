"""Pages and commands: what is shown, where clicks lead, and what is said of bad ones."""

from dataclasses import replace

import pytest

from agentgym.envs.shop.catalogue import Catalogue
from agentgym.envs.shop.goals import Goal, Wish
from agentgym.envs.shop.pages import ItemPage, ResultsPage, SearchPage, Style, written
from agentgym.envs.shop.product import Product
from agentgym.envs.shop.visit import Visit

MUG = Product(
    id="M-0",
    title="Blue Mug",
    kind="mug",
    price=1234.5,
    attributes=("leak proof",),
    options={"color": ("Navy", "red"), "trim": ("red", "buy now")},
    features=("Leak proof.", "Nice."),
)
SHOP = Catalogue([MUG, *(replace(MUG, id=f"M-{n}", options={}) for n in range(1, 25))])
GOAL = Goal("A mug.", MUG, Wish("mug", ("leak proof",), {"color": "Navy"}, 2000.0))


def visit(*commands: str, per_page: int = 10) -> Visit:
    started = Visit(SHOP, GOAL, per_page)
    for command in commands:
        assert started.do(command) is None, command
    return started


def shown(*commands: str) -> str:
    return written(visit(*commands).page, GOAL.text, Style.LINES)


def test_the_way_to_a_product_as_it_is_written() -> None:
    assert shown() == "Instruction: A mug.\nSearch"
    assert shown("search[mug]").splitlines()[:5] == [
        "Instruction: A mug.",
        "[Back to Search] [Next >]",
        "Page 1 (Total results: 25)",
        "[M-1] Blue Mug $1,234.50",  # the shorter text comes first
        "[M-2] Blue Mug $1,234.50",
    ]
    found = ("search[mug navy]", "click[M-0]")
    assert shown(*found).splitlines() == [
        "Instruction: A mug.",
        "[Back to Search] [< Prev]",
        "color: [Navy] [color: red]",
        "trim: [trim: red] [trim: buy now]",
        "M-0 Blue Mug",
        "Price: $1,234.50",
        "[Description] [Features] [Buy Now]",
    ]
    # The order of the clicks makes no difference to the page.
    chosen = shown(*found, "click[trim: red]", "click[color: red]", "click[navy]")
    assert "\nchosen color: Navy\nchosen trim: red\n" in chosen
    assert shown(*found, "click[features]").splitlines()[1:] == [
        *("[Back to Search] [< Prev]", "Leak proof.", "Nice."),
    ]
    assert shown(*found, "click[Description]").endswith("\nNothing is said here.")
    assert shown(*found, "click[navy]", "click[Buy Now]").splitlines()[1:] == [
        *("You bought M-0 for $1,234.50.", "Your score: 1.00 of 1.00"),
    ]


def test_one_line_as_in_webshop() -> None:
    page = visit("search[navy]", "click[M-0]").page
    assert written(page, GOAL.text, Style.SEP) == (
        "Instruction: [SEP] A mug. [SEP] Back to Search [SEP] < Prev [SEP] color: [SEP] Navy [SEP] "
        "color: red [SEP] trim: [SEP] trim: red [SEP] trim: buy now [SEP] M-0 [SEP] Blue Mug [SEP] "
        "Price: $1,234.50 [SEP] Description [SEP] Features [SEP] Buy Now"
    )


def test_results_come_in_pages() -> None:
    buyer = visit("search[mug]")
    seen: list[str] = []
    numbers: list[int] = []
    while True:
        page = buyer.page
        assert isinstance(page, ResultsPage)
        seen += [one.id for one in page.listings]
        numbers.append(page.number)
        if "click[Next >]" not in buyer.commands():
            break
        assert buyer.do("click[Next >]") is None
    assert (numbers, len(set(seen)), page.total, page.pages) == ([1, 2, 3], 25, 25, 3)
    assert buyer.do("click[< Prev]") is None
    assert buyer.do(f"click[{seen[12]}]") is None
    assert isinstance(buyer.page, ItemPage)
    assert buyer.do("click[Features]") is None
    assert buyer.do("click[< Prev]") is None
    assert isinstance(buyer.page, ItemPage)
    assert buyer.do("click[< Prev]") is None
    assert isinstance(buyer.page, ResultsPage)
    assert buyer.page.number == 2
    assert buyer.do("click[< prev]") is None
    assert "click[< Prev]" not in buyer.commands()
    assert buyer.do("click[Back to Search]") is None
    assert isinstance(buyer.page, SearchPage)
    assert (buyer.searches, buyer.opened) == (1, 1)


def test_a_page_has_as_many_results_as_it_is_told() -> None:
    page = visit("search[mug]", per_page=4).page
    assert isinstance(page, ResultsPage)
    assert (len(page.listings), page.pages) == (4, 7)
    many = Catalogue([replace(MUG, id=str(n)) for n in range(80)])
    buyer = Visit(many, GOAL, 100)
    buyer.do("search[mug]")
    page = buyer.page
    assert isinstance(page, ResultsPage)
    assert (len(page.listings), page.total, page.pages) == (50, 50, 1)


def test_choices_last_until_another_product_is_opened() -> None:
    buyer = visit("search[navy]", "click[M-0]", "click[Navy]", "click[Features]", "click[< Prev]")
    assert isinstance(buyer.page, ItemPage)
    assert buyer.page.chosen == {"color": "Navy"}
    for command in ("click[color: red]", "click[< Prev]", "click[m-0]"):
        assert buyer.do(command) is None
    assert isinstance(buyer.page, ItemPage)
    assert buyer.page.chosen == {}


def test_nothing_found_is_an_empty_page() -> None:
    assert shown("search[zzz]").splitlines()[1:] == [
        *("[Back to Search]", "Page 1 (Total results: 0)"),
    ]


@pytest.mark.parametrize("command", ["Search[Mug]", " click [ M-1 ] ", "CLICK[m-1]\n"])
def test_case_and_blanks_make_no_difference(command: str) -> None:
    buyer = visit() if "earch" in command else visit("search[mug]")
    assert buyer.do(command) is None


@pytest.mark.parametrize(
    ("way", "command", "says"),
    [
        ((), "", "That is no action"),
        ((), "buy", "That is no action"),
        ((), "think[mug]", "That is no action"),
        ((), "search[mug", "That is no action"),
        ((), "search[mug] now", "That is no action"),
        ((), "search[]", "nothing to search for; write search[words]"),
        ((), "search[the, a!]", "nothing to search for"),
        (
            (),
            "click[Buy Now]",
            "no 'Buy Now' to click here. What can be clicked: nothing.",
        ),
        ((), "click[Search]", "There is no 'Search'"),
        (("search[mug]",), "search[mug]", "no search form on this page; click[Back to Search]"),
        (("search[mug]",), "click[M-99]", "There is no 'M-99' to click here."),
        (("search[mug]",), "click[< Prev]", "What can be clicked: Back to Search, Next >, M-1,"),
        (("search[mug]",), "click[]", "There is no '' to click here."),
        (("search[mug]",), f"click[{'x' * 999}]", f"There is no '{'x' * 60}…' to click"),
        (("search[navy]", "click[M-0]"), "click[red]", "There is no 'red' to click here."),
        (("search[navy]", "click[M-0]"), "click[Next >]", "There is no 'Next >'"),
        (("search[navy]", "click[M-0]", "click[Features]"), "click[Buy Now]", "no 'Buy Now'"),
    ],
)
def test_what_can_not_be_done_is_said_and_changes_nothing(
    way: tuple[str, ...], command: str, says: str
) -> None:
    buyer = visit(*way)
    page = buyer.page
    error = buyer.do(command)
    assert error is not None
    assert says in error
    assert buyer.page is page
    assert buyer.score is None


def test_every_command_that_is_offered_can_be_carried_out() -> None:
    ways = [
        (),
        ("search[mug]", "click[Next >]"),
        ("search[navy]", "click[M-0]"),
        ("search[navy]", "click[M-0]", "click[Features]"),
    ]
    for way in ways:
        for command in visit(*way).commands():
            assert visit(*way).do(command) is None
    assert visit().commands() == ["search[mug]"]
    assert visit("search[navy]", "click[M-0]", "click[Buy Now]").commands() == []
