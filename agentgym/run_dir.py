"""`RunDir`: where a run keeps everything, and how it is picked up again.

    run.json         what made it: command, versions, when it was resumed
    config.yaml      the resolved configuration
    metrics.jsonl    one line per step (`agentgym.metrics`)
    trajectories/    the store (`agentgym.store`)
    checkpoints/     the trainer's

Small files are replaced whole, so a crash at any moment leaves a directory that can be resumed. A
directory that holds another run is never written to.
"""

import json
import os
import platform
import socket
import sys
import uuid
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

from agentgym.config import Config, dump_yaml, read_yaml, validate
from agentgym.errors import DataError, UsageError
from agentgym.files import strict_json, write_atomically
from agentgym.store.writer import FOLDER

_FORMAT = 1
_PACKAGES = ("agentgym-suite", "torch", "transformers", "tokenizers", "vllm", "numpy", "gymnasium")


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What run.json says.

    Attributes:
        id: Unique.
        command: What made the run ("train arpo", "eval", …).
        created: When, ISO 8601 in UTC.
        host: On which machine.
        argv: The command line.
        versions: Of Python and the packages that matter, at the last start.
        resumed: When it was resumed.
        meta: Whatever the caller adds; JSON values.
        format: Version of the directory's layout.
    """

    id: str
    command: str
    created: str
    host: str
    argv: list[str]
    versions: dict[str, str]
    resumed: list[str] = field(default_factory=list[str])
    meta: dict[str, Any] = field(default_factory=dict[str, Any])
    format: int = _FORMAT


class RunDir:
    """A run's directory. Use `create`, `resume` or `open`.

    Args:
        path: The directory.
        info: What its run.json says.
    """

    def __init__(self, path: Path, info: RunInfo) -> None:
        self.path = path
        self.info = info

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        command: str,
        config: Config | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> "RunDir":
        """Make a run in a directory that is new or empty.

        Raises:
            UsageError: If the directory already holds something.
            DataError: If it can't be written to.
        """
        path = Path(path)
        if (path / "run.json").exists():
            info = cls.open(path).info
            raise UsageError(
                f"{path} already holds a run (`{info.command}`, begun {info.created}); "
                "resume it, or give another directory"
            )
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UsageError(f"{path} is not empty and holds no run; give another directory")
        info = RunInfo(
            id=uuid.uuid4().hex,
            command=command,
            created=_now(),
            host=socket.gethostname(),
            argv=list(sys.argv),
            versions=installed_versions(),
            meta=dict(meta or {}),
        )
        run = cls(path, info)
        # First: from here on it can be resumed, whatever else is missing.
        run._write_info()
        run._fill(config)
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "RunDir":
        """Open an existing run; nothing is written.

        Raises:
            DataError: If there is no run, or a newer agentgym made it.
        """
        path = Path(path)
        try:
            values = cast("dict[str, Any]", json.loads((path / "run.json").read_bytes()))
            found = int(values["format"])
            if found > _FORMAT:
                raise DataError(
                    f"{path} was made by a newer agentgym (run format {found}, this one knows "
                    f"{_FORMAT}); run: pip install -U agentgym-suite"
                )
            return cls(path, RunInfo(**values))
        except OSError as fault:
            raise DataError(f"{path} holds no run: run.json: {fault.strerror}") from fault
        except (ValueError, TypeError, KeyError) as fault:
            raise DataError(f"{path}/run.json is not what agentgym writes: {fault}") from fault

    @classmethod
    def resume(
        cls,
        path: str | os.PathLike[str],
        *,
        command: str,
        config: Config | None = None,
        may_differ: Collection[str] = (),
    ) -> "RunDir":
        """Open a run to go on with it, if it is the same run.

        Args:
            path: The directory.
            command: What made the run; must be the same.
            config: The resolved configuration; must be the same, except for `may_differ`.
            may_differ: Dotted keys that may change on the way, such as how many steps to run.

        Raises:
            UsageError: If the command or the configuration is another one.
            DataError: If there is no run.
        """
        run = cls.open(path)
        if run.info.command != command:
            raise UsageError(
                f"{path} was made by `{run.info.command}`, not by `{command}`; give another "
                "directory"
            )
        if config is not None and run.config_file.exists():
            # Read as a configuration, so that a key that is new since then has its default.
            saved = validate(type(config), read_yaml(run.config_file))
            before, now = (_flat(c.model_dump(mode="json")) for c in (saved, config))
            changes = [
                f"{key} was {before.get(key)!r} and is now {now.get(key)!r}"
                for key in sorted(before.keys() | now.keys())
                if before.get(key) != now.get(key) and key not in may_differ
            ]
            if changes:
                raise UsageError(
                    f"{path} can't be resumed with another configuration: {'; '.join(changes)}"
                )
        resumed = [*run.info.resumed, _now()]
        run.info = replace(run.info, resumed=resumed, versions=installed_versions())
        run._write_info()
        run._fill(config)
        return run

    @property
    def config_file(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def metrics_file(self) -> Path:
        """The metrics, one line per step."""
        return self.path / "metrics.jsonl"

    @property
    def trajectories(self) -> Path:
        """The store's folder; `Store.open` takes the run's directory, not this."""
        return self.path / FOLDER

    @property
    def checkpoints(self) -> Path:
        """The trainer's folder."""
        return self.path / "checkpoints"

    def _fill(self, config: Config | None) -> None:
        try:
            self.trajectories.mkdir(exist_ok=True)
            self.checkpoints.mkdir(exist_ok=True)
        except OSError as fault:
            raise DataError(f"{self.path} can't be written: {fault.strerror}") from fault
        if config is not None:
            write_atomically(self.config_file, dump_yaml(config))

    def _write_info(self) -> None:
        text = json.dumps(json.loads(strict_json(asdict(self.info))), indent=2, ensure_ascii=False)
        write_atomically(self.path / "run.json", text + "\n")


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of those packages that decide what a run does."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(cast("Mapping[str, Any]", value), f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
