"""What a model is asked for, and what its answer has to look like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.envs.code.rewriting import Rewritten, asking, read_rewritten
from agentgym.scripts import UnscriptedError

GOOD = (
    "First the crates.\n<code>\n```python\nprint(12 * 9)\n```\n</code>\nThat is 108.\n"
    "<code>print(108 * 7)</code>\nSo 756.\n<answer> 756 </answer>\n"
)


def test_it_is_told_the_problem_the_solution_and_the_rules() -> None:
    system, user = asking("How many?", "2*3=<<2*3=6>>6\n#### 6", blocks=7, stateful=False)
    assert system["role"] == "system"
    assert "at most 7" in system["content"]
    assert "program of its own" in system["content"]
    assert user == {
        "role": "user",
        "content": "Problem:\nHow many?\n\nWorked solution:\n2*3=6\n#### 6",
    }
    notebook, _ = asking("How many?", "6", blocks=7, stateful=True)
    assert "share their names" in notebook["content"]
    assert "program of its own" not in notebook["content"]


def test_the_example_in_the_rules_is_of_the_form_that_they_ask_for() -> None:
    rules = asking("", "", blocks=7, stateful=False)[0]["content"]
    example = read_rewritten(rules.rpartition("This is the form:")[2])
    assert example.blocks == ("print(12 * 9)", "print(108 * 7)")
    assert example.answer == "756"


def test_a_solution_is_cut_at_its_code() -> None:
    assert read_rewritten(GOOD) == Rewritten(
        ("First the crates.\n", "\nThat is 108.\n", "\nSo 756.\n"),
        ("print(12 * 9)", "print(108 * 7)"),
        "756",
    )
    thinking = f"<think>Should I write <code>? <interpreter> is out.</think>{GOOD}"
    assert read_rewritten(thinking) == read_rewritten(GOOD)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no answer"),
        ("It is 756.", "no answer"),
        ("<code>print(756)</code>", "no answer"),
        ("<code>print(756)</code><answer>756", "no answer"),
        ("<code>print(756)</code><answer> </answer>", "no answer"),
        ("<answer>756</answer>", "no code"),
        ("<code> \n</code><answer>756</answer>", "empty code"),
        ("<code>```python\n```</code><answer>756</answer>", "empty code"),
        ("<code>print(756)\n<answer>756</answer>", "unclosed code"),
        ("<code>print(1)<code>print(2)</code><answer>756</answer>", "unclosed code"),
        ("<code>print(1)</code><interpreter>1</interpreter><answer>1</answer>", "invented output"),
        ("<code>print(1)</code></interpreter><answer>1</answer>", "invented output"),
        ("<code>print(1)</code><answer>1</answer><code>print(2)</code>", "text after the answer"),
    ],
)
def test_what_is_of_another_form_has_a_reason(text: str, reason: str) -> None:
    with pytest.raises(UnscriptedError) as raised:
        read_rewritten(text)
    assert raised.value.reason == reason


PARTS = ["<code>", "</code>", "<answer>", "</answer>", "</think>", "```", "print(1)", "\n", "7"]


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
def test_any_text_is_a_solution_or_has_a_reason_and_nothing_else(text: str) -> None:
    try:
        found = read_rewritten(text)
    except UnscriptedError:
        return
    assert len(found.texts) == len(found.blocks) + 1 > 1
    assert all(found.blocks)
    assert found.answer
