"""Configuration: sources, their order, and what an error says."""

from pathlib import Path

import pytest

from agentgym.config import Config, dump_yaml, load, parse_overrides
from agentgym.errors import ConfigError


class Optimizer(Config):
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)


class Run(Config):
    steps: int = 10
    name: str = "run"
    optimizer: Optimizer = Optimizer()
    replay: Optimizer | None = None


def test_later_sources_win(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("steps: 1\noptimizer: {lr: 1e-6}\n")
    second.write_text("steps: 2\n")
    config = load(
        Run, [first, second], ["optimizer.betas=[0.5, 0.6]"], base={"name": "preset", "steps": 0}
    )
    assert config == Run(steps=2, name="preset", optimizer=Optimizer(lr=1e-6, betas=(0.5, 0.6)))


class Sharper(Run):
    optimizer: Optimizer = Optimizer(lr=5.0, betas=(0.1, 0.2))


def test_a_nested_override_keeps_the_rest_of_the_nested_default() -> None:
    config = load(Sharper, overrides=["optimizer.lr=7"])
    assert config.optimizer == Optimizer(lr=7, betas=(0.1, 0.2))


def test_scientific_notation_is_a_number(tmp_path: Path) -> None:
    assert load(Run, overrides=["optimizer.lr=3e-4"]).optimizer.lr == 3e-4
    assert load(Run, overrides=["optimizer.lr=1E-4"]).optimizer.lr == 1e-4


def test_a_command_line_has_no_comments() -> None:
    assert parse_overrides(["a=#text", "b=x #1", "c='#'", 'd=["#", 2]', "e=1"]) == {
        "a": "#text",
        "b": "x #1",
        "c": "#",
        "d": ["#", 2],
        "e": 1,
    }


def test_an_empty_value_is_the_empty_text_and_null_is_none() -> None:
    assert parse_overrides(["a.b=", "c= ", 'd=""', "e=null", "f=~"]) == {
        "a": {"b": ""},
        "c": "",
        "d": "",
        "e": None,
        "f": None,
    }
    assert load(Run, overrides=["name="]).name == ""
    assert load(Run, overrides=["replay.lr=1", "replay=null"]).replay is None
    with pytest.raises(ConfigError, match=r"steps: .*\(got ''\)"):
        load(Run, overrides=["steps="])


def test_the_resolved_config_reads_back(tmp_path: Path) -> None:
    config = load(Run, overrides=["optimizer.lr=1e-9", "name=héllo 中"])
    (tmp_path / "c.yaml").write_text(dump_yaml(config), encoding="utf-8")
    assert load(Run, [tmp_path / "c.yaml"]) == config


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("optimzer.lr=1", "did you mean 'optimizer'?"),
        ("optimizer.lrr=1", "did you mean 'optimizer.lr'?"),
        ("betas=[1, 2]", "did you mean"),
        ("zzz=1", "known: name, optimizer, replay, steps"),
        ("steps=many", "steps: "),
        ("steps", "key=value"),
        ("a..b=1", "key=value"),
        ("steps=[1", "not valid YAML"),
        ("name=2024-13-45", "name: '2024-13-45' is no value (month must be in 1..12)"),
        ("optimizer=3", "optimizer: "),
        ("replay.lrr=1", "did you mean 'replay.lr'?"),
    ],
)
def test_errors_name_the_key_and_the_remedy(override: str, says: str) -> None:
    with pytest.raises(ConfigError) as fault:
        load(Run, overrides=[override])
    assert says in str(fault.value)


def test_a_text_that_looks_like_a_date_can_be_quoted() -> None:
    assert load(Run, overrides=['name="2024-13-45"']).name == "2024-13-45"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- 1", "must hold keys"),
        ("a: [", "not valid YAML"),
        ("name: 2024-13-45", "not valid YAML: month must be in 1..12"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=says) as fault:
        load(Run, [file])
    assert "bad.yaml" in str(fault.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: No such file"):
        load(Run, [tmp_path / "nowhere.yaml"])
