"""How a page is written: cut where it is long."""

import pytest

from agentgym.envs.web.styles import cut, short


def test_whole_lines_are_kept_and_the_rest_is_counted() -> None:
    text = "\n".join(f"line {k}" for k in range(10))
    kept, told = cut(text, 20).rsplit("\n", 1)
    assert kept == "line 0\nline 1"
    assert told == "(55 more characters, 8 lines, are not shown; scroll.)"
    assert cut(text, len(text)) == text


@pytest.mark.parametrize("rest", ["", "\nmore"])
def test_a_line_that_is_too_long_is_cut_within(rest: str) -> None:
    kept, told = cut("x" * 100 + rest, 30).rsplit("\n", 1)
    assert kept == "x" * 30
    assert told.startswith(f"({70 + len(rest)} more characters, {1 + bool(rest)} lines")


def test_what_is_no_page_is_short() -> None:
    assert short("title", 5) == "title"
    assert short("a title", 5) == "a tit…"
