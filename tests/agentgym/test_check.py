"""The checker passes what keeps the contract and catches each way of breaking it."""

import time
from collections.abc import Iterator
from functools import partial

import broken_envs
import pytest
import toy_envs

from agentgym import check as check_module
from agentgym.check import RULES, Report, Result, check, check_rule
from agentgym.conformance.hostile import TEXTS, example
from agentgym.errors import UnknownNameError, UsageError
from agentgym.tool import ToolSpec
from agentgym.wrappers import ClipObservation, FormatPenalty, HistoryWindow, TurnLimit

FAST = [rule for rule in RULES if rule not in ("other-process", "resources")]


@pytest.mark.parametrize("rule", FAST)
@pytest.mark.parametrize("kwargs", [{}, {"visual": True, "expert": "slow", "max_turns": 9}])
def test_a_sound_environment_passes(rule: str, kwargs: dict[str, object]) -> None:
    result = check_rule(rule, toy_envs.COUNTER, **kwargs)
    assert result.passed, result.detail


@pytest.mark.integration
def test_a_sound_environment_passes_all() -> None:
    wrappers = [
        partial(TurnLimit, max_turns=5),
        partial(HistoryWindow, turns=2),
        partial(ClipObservation, max_chars=300),
        partial(FormatPenalty, penalty=0.5),
    ]
    for report in (check(toy_envs.COUNTER), check(toy_envs.COUNTER, wrappers=wrappers)):
        assert report.passed, str(report)
        assert str(report).endswith("toy/Counter-v0 keeps the contract.")
        assert [result.rule for result in report.results] == list(RULES)


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    yield
    broken_envs.tidy()


def _caught(env_id: str) -> None:
    rule, words = broken_envs.BROKEN[env_id]
    result = check_rule(rule, env_id)
    assert not result.passed
    assert words in result.detail, result.detail


@pytest.mark.parametrize(
    "env_id", [env_id for env_id, (rule, _) in broken_envs.BROKEN.items() if rule in FAST]
)
def test_a_broken_rule_is_caught(env_id: str) -> None:
    _caught(env_id)


@pytest.mark.integration
@pytest.mark.parametrize(
    "env_id", [env_id for env_id, (rule, _) in broken_envs.BROKEN.items() if rule not in FAST]
)
def test_a_broken_rule_about_processes_is_caught(
    env_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentgym.conformance import resources

    monkeypatch.setattr(resources, "_PATIENCE", 0.2)
    _caught(env_id)


def test_every_rule_has_an_environment_that_breaks_it() -> None:
    assert {rule for rule, _ in broken_envs.BROKEN.values()} == set(RULES)


def test_a_wrapper_that_forgets_its_arguments_is_caught() -> None:
    result = check_rule(
        "spec", toy_envs.COUNTER, wrappers=[partial(broken_envs.Forgetful, volume=3)]
    )
    assert not result.passed


def test_an_environment_that_hangs_fails_its_rule_and_not_the_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check_module, "_SECONDS", 0.1)
    began = time.perf_counter()
    result = check_rule("spaces", "broken/Hangs-v0")
    assert time.perf_counter() - began < 10
    assert not result.passed
    assert "waits without a time limit" in result.detail


def test_options_that_are_refused_fail_with_their_reason() -> None:
    result = check_rule("spaces", toy_envs.COUNTER, colour="red")
    assert not result.passed
    assert "There is no option of toy/Counter-v0 'colour'" in result.detail


@pytest.mark.parametrize(
    ("options", "says"),
    [({"colour": "red"}, "no option of toy/Counter-v0 'colour'"), ({"max_turns": 0}, "max_turns")],
)
def test_options_that_are_refused_break_no_rule(options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check(toy_envs.COUNTER, **options)


@pytest.mark.parametrize("slow_start", [30.0, "soon"])
def test_an_environment_that_hangs_or_raises_when_made_breaks_rules(
    slow_start: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_module, "_SECONDS", 0.1)
    monkeypatch.setattr(check_module, "RULES", {"spaces": RULES["spaces"]})
    assert not check(toy_envs.MOODY, slow_start=slow_start).passed


def test_unknown_ids_and_rules_are_the_callers_mistake() -> None:
    with pytest.raises(UnknownNameError, match="environment"):
        check("toy/Countr-v0")
    with pytest.raises(UnknownNameError, match="did you mean 'experts'"):
        check_rule("expert", toy_envs.COUNTER)


def test_a_report_reads_as_a_table() -> None:
    report = Report(
        "acme/Garden-v0",
        (Result("close", True, "fine", 0.5), Result("experts", False, "It is silent.", 12.0)),
    )
    assert not report.passed
    assert [result.rule for result in report.failures] == ["experts"]
    assert str(report).splitlines() == [
        "ok   close     0.50 s  fine",
        "FAIL experts  12.00 s  It is silent.",
        "acme/Garden-v0 breaks 1 of 2 rules.",
    ]


def test_hostile_texts_get_inside_of_any_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "words": {"type": "string"},
            "many": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "x": {"type": "integer", "minimum": 3},
            "y": {"type": "number", "maximum": -1},
            "on": {"type": "boolean"},
            "button": {"enum": ["left", "right"]},
            "nested": {"properties": {"deep": {"type": ["string", "null"]}}},
        },
        "required": ["words", "many", "maybe", "x", "y", "on", "button", "nested"],
    }
    for text in TEXTS.values():
        arguments = example(schema, text)
        assert ToolSpec("t", "", schema).problem(arguments) is None
        assert isinstance(arguments, dict)
        assert arguments["nested"] == {"deep": text}
