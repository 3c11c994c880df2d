"""Who may import whom, read from the source, and what `import agentgym` costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("envs", "trainers", "tools", "sandboxes")
HEAVY = (
    *("torch", "transformers", "tokenizers", "peft", "accelerate", "datasets", "pandas", "pyarrow"),
    *("matplotlib", "playwright", "docker", "ray", "vllm", "textworld", "alfworld", "jsonschema"),
    *("fastapi", "uvicorn", "httpx"),
)


def imported(source: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, wherever in the file it does, as (line, dotted name)."""
    for node in ast.walk(ast.parse(source.read_text(), str(source))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}:{node.lineno}: imports are absolute"
            yield node.lineno, node.module or ""
            for alias in node.names:  # `from agentgym import envs` imports a module, too
                yield node.lineno, f"{node.module}.{alias.name}"


def offences(folder: str, forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{source.relative_to(ROOT)}:{line} imports {name}"
        for source in sorted((ROOT / folder).rglob("*.py"))
        for line, name in imported(source)
        for part in forbidden
        if name == f"agentgym.{part}" or name.startswith(f"agentgym.{part}.")
    ]


def test_the_engine_imports_no_implementation() -> None:
    assert offences("agentgym", FOLDERS) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_folders_do_not_import_each_other(folder: str) -> None:
    assert (ROOT / folder / "__init__.py").exists()
    assert offences(folder, tuple(other for other in FOLDERS if other != folder)) == []


def test_offences_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "bad.py").write_text(
        "import agentgym.tools.python\n"
        "from agentgym import registry, trainers\n"
        "def late():\n"
        "    from agentgym.sandboxes.pool import Pool\n"
        "from agentgym.tool import Tool\n"
        "from agentgym.registry import tools\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    seen = offences("envs", ("tools", "trainers", "sandboxes"))
    assert sorted({offence.partition(" ")[0] for offence in seen}) == [
        f"envs/bad.py:{line}" for line in (1, 2, 4)
    ]


def test_importing_agentgym_brings_in_nothing_heavy() -> None:
    code = f"import agentgym, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
