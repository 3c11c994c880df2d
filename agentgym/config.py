"""Configuration: pydantic models, filled from YAML files and dotted overrides.

A configuration class stands next to the code that it configures and derives from `Config`. `load`
lays the sources over each other (defaults, then files in order, then `key=value` overrides), and
validates the result once. What is wrong is said in one line that names the key as the user would
write it, and the nearest known key where there is none of that name.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from agentgym.errors import ConfigError, nearest

ConfigT = TypeVar("ConfigT", bound="Config")


class Config(BaseModel):
    """Base of every configuration: unknown keys are errors, values don't change."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class _Loader(yaml.SafeLoader):
    """YAML as people write it: PyYAML follows YAML 1.1, in which 1e-6 is a string."""


_Loader.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*)(?:\.[\d_]*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


def load(
    config_class: type[ConfigT],
    files: Sequence[str | Path] = (),
    overrides: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
) -> ConfigT:
    """Read a configuration.

    Args:
        config_class: What to fill.
        files: YAML files, later ones over earlier ones.
        overrides: `a.b=value`, over everything else; see `parse_overrides`.
        base: Values below the files, such as a preset's.

    Raises:
        ConfigError: If a file can't be read, a key is unknown or a value doesn't fit.
    """
    # A nested override must change one key of the nested default, not replace the default by its
    # class's.
    merged = merge(_defaults(config_class), base or {})
    for file in files:
        merged = merge(merged, read_yaml(file))
    return validate(config_class, merge(merged, parse_overrides(overrides)))


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the nested mapping that `a.b=value` texts stand for; later ones win.

    Args:
        overrides: Their values are YAML, but for two things that mean something else in a shell:
            an empty value is the empty text (None is written `null`), and there are no comments.

    Raises:
        ConfigError: If one has another form.
    """
    merged: dict[str, Any] = {}
    for override in overrides:
        merged = merge(merged, _override(override))
    return merged


def validate(config_class: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Validate plain values.

    Raises:
        ConfigError: With one line for each thing that is wrong.
    """
    try:
        return config_class.model_validate(values)
    except ValidationError as fault:
        lines = [_line(config_class, cast("Mapping[str, Any]", error)) for error in fault.errors()]
        raise ConfigError("; ".join(lines)) from None


def read_yaml(file: str | Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Raises:
        ConfigError: If the file is missing, is no YAML, or holds no mapping.
    """
    try:
        value = yaml.load(Path(file).read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as fault:
        raise ConfigError(f"{file}: {fault.strerror or fault}") from fault
    except (yaml.YAMLError, ValueError) as fault:  # a ValueError: no UTF-8, or a month 13
        raise ConfigError(f"{file} is not valid YAML: {fault}".replace("\n", " ")) from fault
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{file} must hold keys and values, got {type(value).__name__}")
    return cast("dict[str, Any]", value)


def dump_yaml(config: Config) -> str:
    """Return the resolved configuration as YAML that `load` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another; mappings inside are merged, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        lower = merged.get(key)
        if isinstance(lower, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(cast("Mapping[str, Any]", lower), cast("Mapping[str, Any]", value))
        else:
            merged[key] = value
    return merged


def _defaults(config_class: type[BaseModel]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, field in config_class.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            nested[name] = default.model_dump()
    return nested


def _override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"An override has the form key=value or part.key=value, got {text!r}")
    try:
        nested: Any = _value(value.strip())
    except yaml.YAMLError as fault:
        raise ConfigError(f"{key}: {value!r} is not valid YAML") from fault
    except ValueError as fault:
        # 2024-13-45 has the form of a date, and PyYAML leaves the rest to `datetime`.
        raise ConfigError(
            f"{key}: {value!r} is no value ({fault}); if it is a text, quote it: '\"{value}\"'"
        ) from fault
    for part in reversed(parts):
        nested = {part: nested}
    return cast("dict[str, Any]", nested)


def _value(text: str) -> Any:
    # To YAML nothing is null. A shell turns `key=""` into `key=`, and means what it says.
    if not text:
        return ""
    # To YAML a comment may follow. Inside quotes and brackets it knows better.
    if "#" in text and text[0] not in "\"'[{":
        return text
    return yaml.load(text, Loader=_Loader)


def _line(config_class: type[Config], error: Mapping[str, Any]) -> str:
    path = [str(part) for part in error["loc"]]
    key = ".".join(path)
    if error["type"] != "extra_forbidden":
        given = error.get("input")
        shown = "" if isinstance(given, Mapping) else f" (got {given!r})"
        message = str(error["msg"]).removeprefix("Value error, ")
        return f"{key}: {message}{shown}" if key else message
    known = _keys(config_class, path[:-1])
    near = nearest(path[-1], known)
    if near is None:
        # The right word in the wrong place is as common as a typing error.
        everywhere = [full for full in _all_keys(config_class) if full.split(".")[-1] == path[-1]]
        near_full = everywhere[0] if everywhere else None
    else:
        near_full = ".".join([*path[:-1], near])
    hint = f"did you mean {near_full!r}?" if near_full else f"known: {', '.join(sorted(known))}"
    return f"{key!r} is not a key; {hint}"


def _keys(config_class: type[BaseModel], path: Sequence[str]) -> list[str]:
    for part in path:
        field = config_class.model_fields.get(part)
        models = [] if field is None else _models(field.annotation)
        if not models:
            return []
        config_class = models[0]
    return list(config_class.model_fields)


def _all_keys(config_class: type[BaseModel], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, field in config_class.model_fields.items():
        keys.append(prefix + name)
        for model in _models(field.annotation):
            keys += _all_keys(model, f"{prefix}{name}.")
    return keys


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType):
        return [model for part in get_args(annotation) for model in _models(part)]
    return []
