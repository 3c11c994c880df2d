"""The curl lines of the documentation work as they are written, but for the port."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox_servers import TOKEN, SandboxServer, sandbox_server

ROOT = Path(__file__).parents[3]
WRITTEN = "127.0.0.1:8080"
_SHOWN = re.compile(r"<!-- served -->\n```bash\n(.*?)```\n(?:\n```json\n(.*?)```)?", re.DOTALL)
_VARYING = {"id", "seconds", "cpu_seconds", "execution_time"}

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def served() -> Iterator[SandboxServer]:
    with sandbox_server() as server:
        yield server


def run(script: str, server: SandboxServer, folder: Path) -> str:
    assert WRITTEN in script
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace(WRITTEN, server.url[len("http://") :])],
        cwd=folder,
        env={**os.environ, "AGENTGYM_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def comparable(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: name in _VARYING or comparable(part) for name, part in value.items()}


def test_the_page_s_lines_answer_what_the_page_shows(served: SandboxServer, tmp_path: Path) -> None:
    shown = _SHOWN.findall((ROOT / "docs/serve.md").read_text(encoding="utf-8"))
    assert len(shown) == 5
    # One shell, as a reader has; a line between the answers tells them apart.
    script = "echo ---\n".join(lines for lines, _ in shown)
    answers = run(script, served, tmp_path).split("---\n")
    for answer, (lines, expected) in zip(answers, shown, strict=True):
        assert comparable(json.loads(answer)) == comparable(json.loads(expected)), lines


def test_the_readme_s_lines_work(served: SandboxServer, tmp_path: Path) -> None:
    shown = _SHOWN.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    native, fusion = (json.loads(run(lines, served, tmp_path)) for lines, _ in shown)
    assert native["stdout"] == "42\n"
    assert (fusion["status"], fusion["run_result"]["stdout"]) == ("Success", "42\n")
