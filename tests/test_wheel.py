"""The wheel has everything, and works where nothing but its core dependencies is installed."""

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from agentgym.registry import Family

ROOT = Path(__file__).parents[1]
CONFIG: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PLACES: dict[str, str] = CONFIG["tool"]["setuptools"]["package-dir"]

EXTRAS = {
    *("torch", "transformers", "tokenizers", "accelerate", "peft"),
    *("pandas", "pyarrow", "datasets", "matplotlib"),
    *("math_verify", "mcp", "mcp_types", "docker"),
    *("alfworld", "textworld", "tensorboard", "wandb", "trackio"),
    *("fastapi", "starlette", "uvicorn", "prometheus_client", "httpx", "openai"),
}
"""What extras install, by import name."""

IMPORT_ALL = f"""
import importlib, json, pkgutil, sys
import agentgym
from agentgym.errors import MissingDependencyError

extras, imported, missing, wrong = {sorted(EXTRAS)!r}, [], {{}}, []

def look_at(name):
    try:
        module = importlib.import_module(name)
    except MissingDependencyError as fault:
        missing[name] = fault.package
        return
    except ModuleNotFoundError as fault:
        package = (fault.name or "").partition(".")[0]
        if package in extras:
            missing[name] = package
        else:
            wrong.append(f"{{name}}: {{fault}}")
        return
    except Exception as fault:
        wrong.append(f"{{name}}: {{type(fault).__name__}}: {{fault}}")
        return
    imported.append(name)
    for public in getattr(module, "__all__", ()):
        if not hasattr(module, public):
            wrong.append(f"{{name}} has no {{public}}, which its __all__ names")
    for found in pkgutil.iter_modules(getattr(module, "__path__", ()), name + "."):
        if not found.name.endswith(".__main__"):
            look_at(found.name)

look_at("agentgym")
print(json.dumps({{"imported": imported, "missing": missing, "wrong": wrong}}))
"""


def _packages_in_the_tree() -> set[str]:
    found: set[str] = set()
    for package, folder in PLACES.items():
        base = ROOT / folder
        for marker in base.rglob("__init__.py"):
            below = marker.parent.relative_to(base).parts
            found.add(".".join((package, *below)))
    return found


def test_pyproject_lists_the_packages_that_there_are() -> None:
    assert set(CONFIG["tool"]["setuptools"]["packages"]) == _packages_in_the_tree()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        (group, name, value)
        for group, points in CONFIG["project"]["entry-points"].items()
        for name, value in points.items()
    ],
)
def test_what_pyproject_promises_is_there(group: str, name: str, value: str) -> None:
    found = EntryPoint(name, value, group).load()
    assert callable(found) or (isinstance(found, Family) and "*" in name and found.members)


def _run(*command: str | Path, seconds: float = 300) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{command[:4]}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, since building writes into the tree."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for folder in PLACES.values():
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        "pyproject.toml",
        CONFIG["project"]["readme"],
        *CONFIG["project"]["license-files"],
    ):
        shutil.copy(ROOT / name, tree / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    _run(*pip, "--wheel-dir", out, tree)
    (built,) = out.glob("*.whl")
    return built


@pytest.mark.integration
def test_the_wheel_has_every_file_of_the_tree(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        "/".join((*package.split("."), *file.relative_to(ROOT / folder).parts))
        for package, folder in PLACES.items()
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".md"
    }
    assert wanted - packed == set()


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel and its core dependencies."""
    folder = tmp_path_factory.mktemp("clean")
    _run(sys.executable, "-m", "venv", "--without-pip", folder)
    pip = [sys.executable, "-m", "pip", "--python", folder, "install", "--no-compile"]
    quiet = ["--quiet", "--disable-pip-version-check"]
    _run(*pip, *quiet, "-c", ROOT / "constraints.txt", wheel)
    return folder


@pytest.mark.integration
@pytest.mark.slow
def test_every_public_name_can_be_imported_from_the_installed_wheel(clean: Path) -> None:
    # -I: neither the checkout, nor PYTHONPATH, nor the working directory is importable.
    report = json.loads(_run(clean / "bin" / "python", "-I", "-c", IMPORT_ALL))
    assert report["wrong"] == []
    assert _packages_in_the_tree() <= set(report["imported"]) | set(report["missing"])
    for part in ("agentgym.env", "agentgym.vector", "agentgym.check", "agentgym.wrappers"):
        assert part in report["imported"]


@pytest.mark.integration
@pytest.mark.slow
def test_the_core_install_plays(clean: Path) -> None:
    code = (
        "import gymnasium, agentgym; e = gymnasium.make('agentgym/ALFWorld-v0');"
        "print(e.reset(seed=0)[0]['text'])"
    )
    first = _run(clean / "bin" / "python", "-I", "-c", code)
    assert "Your task is to" in first
    assert _run(clean / "bin" / "python", "-I", "-c", code) == first
    assert "agentgym/ALFWorld-v0" in _run(clean / "bin" / "agentgym", "envs")
