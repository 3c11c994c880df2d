"""Whether an answer is the right one."""

import signal
import threading
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.envs.code import verifier
from agentgym.envs.code.judge import number, same_answer, same_figure, same_number
from agentgym.errors import MissingDependencyError


@given(st.fractions(), st.sampled_from(["{}", " {} ", "${}$", r"\boxed{{{}}}", "{}."]))
def test_every_fraction_is_read(value: Fraction, shape: str) -> None:
    assert number(shape.format(value)) == value


@given(st.integers(), st.integers(1, 10**6))
def test_latex_fractions_are_read(above: int, below: int) -> None:
    sign, size = ("-", -above) if above < 0 else ("", above)
    assert number(rf"{sign}\frac{{{size}}}{{{below}}}") == Fraction(above, below)


@given(st.text())
def test_any_text_is_a_number_or_none(text: str) -> None:
    number(text)


@pytest.mark.parametrize(
    ("said", "truth"),
    [
        ("0.5", "1/2"),
        ("1,234,567", "1234567"),
        ("$18", "18"),
        ("+7", "7"),
        (".25", "1/4"),
        ("2.", "2"),
        ("\N{MINUS SIGN}3", "-3"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("6/4", "3/2"),
    ],
)
def test_the_same_number_may_be_written_otherwise(said: str, truth: str) -> None:
    assert same_number(said, truth)


@pytest.mark.parametrize(
    ("said", "truth"),
    [
        ("0.333", "1/3"),
        ("", "0"),
        ("1/0", "0"),
        ("12345678901234567890124", "12345678901234567890123"),
        ("1e3", "1000"),
        ("12 or 13", "12"),
        ("12,34", "1234"),
        ("9" * 100_000, "9"),
        ("١٢", "13"),
    ],
)
def test_another_number_is_wrong(said: str, truth: str) -> None:
    assert not same_number(said, truth)


def test_numbers_need_no_math_verify(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "find_spec", lambda name: None)
    assert same_answer("0.5", "1/2")
    with pytest.raises(MissingDependencyError, match=r"\[code\]"):
        verifier.check_installed()


@pytest.mark.integration
def test_formulas_are_judged_on_any_thread() -> None:
    verdicts: dict[str, bool] = {}

    def judge() -> None:
        for said, truth in (
            (r"\sqrt{8}", r"2\sqrt{2}"),
            ("x^2 + 2x + 1", "(x+1)^2"),
            (r"\boxed{\frac{3\pi}{2}}", r"$1.5\pi$"),
            ("(2, 3)", "(2,3)"),
            (r"\sqrt{8}", r"3\sqrt{2}"),
            ("x + 1", "x"),
            ("", "x"),
            ("x" * 100_000, "x"),
        ):
            verdicts[said + " = " + truth] = same_answer(said, truth)

    threads = [threading.Thread(target=judge) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(verdicts.values()) == [True] * 4 + [False] * 4


@pytest.mark.integration
def test_an_answer_that_takes_for_ever_is_wrong_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not same_answer("9^{9^{9^{9^{9}}}}", "3")
    assert same_answer(r"\sqrt{4}", "2")
    # A process that stands still is given up, and another one is started.
    held = verifier._verifier()._process
    assert held is not None
    held.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(verifier, "_VERDICT_SECONDS", 0.1)
    assert not same_answer(r"\sqrt{9}", "3")
    assert held.returncode == -signal.SIGKILL
    monkeypatch.undo()
    assert same_answer(r"\sqrt{9}", "3")


@pytest.mark.parametrize(
    ("printed", "stated", "same"),
    [
        ("3.0", "3", True),
        ("0.30000000000000004", ".3", True),
        ("108000", "108,000", True),
        ("3.3333333333333335", "3.33", True),
        ("66.66666666666667", "66.67", True),
        ("66.66666666666667", "66.6", True),
        ("66.66666666666667", "66", False),
        ("0.4", "40%", True),
        ("40", "40%", True),
        ("5.4", "$5.40", True),
        ("0.75", "3/4", True),
        ("-7/12", "-7/12", True),
        ("1e-05", "0.00001", True),
        ("12345678901234567890", "12345678901234567891", False),
        ("3", "4", False),
        ("inf", "3", False),
        ("nan", "3", False),
        ("[3]", "3", False),
        ("3", "three", False),
        ("", "3", False),
    ],
)
def test_a_printed_number_is_the_stated_one_as_far_as_that_goes(
    printed: str, stated: str, same: bool
) -> None:
    assert same_figure(printed, stated) is same
