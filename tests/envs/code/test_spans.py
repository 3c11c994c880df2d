"""Solutions with marked calculations: read as arithmetic, cut into steps, written as programs."""

import ast
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.envs.code.spans import Calculation, as_python, plain_text, read_worked
from agentgym.scripts import UnscriptedError

EGGS = (
    "A crate holds 12 jars, so 9 hold 12 * 9 = <<12*9=108>>108 jars.\n"
    "Nothing is calculated here.\n"
    "At 5% off a shelf costs 108*.05 = $<<108*.05=5.4>>5.4 less, so 108-5.4="
    "<<108-5.4=102.6>>102.6\n"
    "#### 102.60"
)


@pytest.mark.parametrize(
    ("written", "python"),
    [
        ("16-3-4", "16 - 3 - 4"),
        ("1/2*.5", "1 / 2 * 0.5"),
        ("$48/2", "48 / 2"),
        ("1,350*2", "1350 * 2"),
        ("20%*50", "20 / 100 * 50"),
        ("5 x 3", "5 * 3"),
        ("2x3", "2 * 3"),
        ("12\N{DIVISION SIGN}4", "12 / 4"),
        ("7\N{MINUS SIGN}4", "7 - 4"),
        ("(1/2)(100)", "1 / 2 * 100"),
        ("2^3", "2 ** 3"),
        ("05+3", "5 + 3"),
        ("-48+21+(-3)", "-48 + 21 + -3"),
        ("7//2", "7 // 2"),
    ],
)
def test_arithmetic_is_written_anew(written: str, python: str) -> None:
    assert as_python(written) == python


NO_NUMBERS = ("", " ", "5*", "10%3", "1,2+3", "5 apples*2", "2x", "1..2", "(1+2", "1=1", "1\n+2")
CODE = ("__import__('os')", "a", "[1]", "()", "1if 1else 2", "1,", "1e9", "1j", "1_0", "lambda:1")
TOO_LONG = ("1+" * 150 + "1", "1" * 20 + ".5 + 1")


@pytest.mark.parametrize("written", [*NO_NUMBERS, *CODE, *TOO_LONG])
def test_what_is_no_arithmetic_is_none(written: str) -> None:
    assert as_python(written) is None


def test_deep_nesting_is_arithmetic_or_none_and_never_an_error() -> None:
    for written in ("(" * 99 + "1" + ")" * 99, "-" * 199 + "1", "(" * 200, "1-" * 99 + "1"):
        python = as_python(written)
        assert python is None or set(python) <= set("1- ")


@given(st.text("0123456789.,+-*/()%$x^ =<>", max_size=30) | st.text(max_size=30))
def test_any_text_is_arithmetic_or_none(text: str) -> None:
    python = as_python(text)
    if python is not None:
        nodes = {type(node).__name__ for node in ast.walk(ast.parse(python))}
        assert not nodes & {"Call", "Name", "Attribute", "Tuple", "Subscript"}
        assert len(python) > 200 or as_python(python) == python


@given(st.text("0123456789+-*/=<>#\\{} \nab", max_size=60))
def test_any_text_is_a_solution_or_has_a_reason(text: str) -> None:
    try:
        worked = read_worked(text)
    except UnscriptedError:
        return
    assert len(worked.texts) == len(worked.steps) + 1
    for most in (1, 2, 7):
        joined = worked.at_most(most)
        assert len(joined.steps) == min(most, len(worked.steps))
        assert "".join(joined.texts) == "".join(worked.texts)
        assert sum(joined.steps, ()) == sum(worked.steps, ())


def test_a_line_with_calculations_is_a_step() -> None:
    worked = read_worked(EGGS)
    assert worked.texts == (
        "A crate holds 12 jars, so 9 hold 12 * 9",
        "= 108 jars.\nNothing is calculated here.\nAt 5% off a shelf costs 108*.05",
        "= $5.4 less, so 108-5.4=102.6",
    )
    assert worked.steps == (
        (Calculation("12 * 9", "108"),),
        (Calculation("108 * 0.05", "5.4"), Calculation("108 - 5.4", "102.6")),
    )
    assert worked.answer == "102.60"
    assert "<<" not in plain_text(EGGS)


def test_a_number_is_taken_by_name_where_it_was_computed() -> None:
    apart = read_worked(EGGS).programs("12 jars", stateful=False)
    assert [(program.code, program.stated) for program in apart] == [
        ("print(12 * 9)", ("108",)),
        ("x1 = 108 * 0.05\nprint(x1)\nx2 = 108 - x1\nprint(x2)", ("5.4", "102.6")),
    ]
    together = read_worked(EGGS).programs("12 jars", stateful=True)
    assert [program.code for program in together] == [
        "x1 = 12 * 9\nprint(x1)",
        "x2 = x1 * 0.05\nprint(x2)\nx3 = x1 - x2\nprint(x3)",
    ]
    (joined,) = read_worked(EGGS).at_most(1).programs("12 jars", stateful=False)
    assert joined.code.startswith("x1 = 12 * 9\nprint(x1)\nx2 = x1 * 0.05\n")


def test_a_number_that_the_question_has_as_well_stays_a_number() -> None:
    programs = read_worked(EGGS).programs("There are 108 shelves of 5.40 metres.", stateful=True)
    assert programs[-1].code == "x2 = 108 * 0.05\nprint(x2)\nx3 = 108 - 5.4\nprint(x3)"


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("6*7=<<6*7=42>>42", "42"),
        ("6*7=<<6*7=42>>42 so \\boxed{43}", "43"),
        ("6*7=<<6*7=42>>42\n#### 1,042", "1,042"),
    ],
)
def test_the_answer_is_what_the_solution_ends_with(solution: str, answer: str) -> None:
    assert read_worked(solution).answer == answer


def test_a_span_with_nothing_to_calculate_is_text() -> None:
    worked = read_worked("x=<<5=5>>5, so <<5*2=10>>10")
    assert (worked.texts[0], worked.steps) == ("x=5, so ", ((Calculation("5 * 2", "10"),),))
    for solution in ("x=<<5=5>>5\n#### 5", "-<<+80=80>>80", "45", ""):
        with pytest.raises(UnscriptedError, match="no calculation"):
            read_worked(solution)


@pytest.mark.parametrize("span", ["<<5 apples*2=10>>", "<<5*2>>", "<<5*2=>>", "<<5*2=10=10>>"])
def test_a_span_that_cant_be_read_is_named(span: str) -> None:
    with pytest.raises(UnscriptedError, match="unreadable calculation") as raised:
        read_worked(f"{span}10\n#### 10")
    assert raised.value.detail == span.strip("<>")
    with pytest.raises(UnscriptedError, match="not closed"):
        read_worked("<<1+1=2>>2 and <<5*2=10 >\n#### 10")


def test_an_expression_means_what_it_meant() -> None:
    for written in ("1/2*.5", "2*(3+4)/7", "-48+21+(-3)", "1.75-(-1.25)", "3/4/2"):
        python = as_python(written)
        assert python is not None
        assert math.isclose(eval(python), eval(written))  # ours, and arithmetic
