"""A package that knows agentgym only through entry points is found by every catalogue."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

LOOK_AROUND = """
import asyncio, sys
import agentgym
from agentgym import registry

assert "acme_garden" not in sys.modules, "registering must not import the package"
assert "acme/Garden-v0" in agentgym.list_envs()
env = agentgym.make("acme/Garden-v0", expert=True, beds=2)
assert type(env).__module__ == "acme_garden.env"
_, info = env.reset(seed=0)
while info["stop_reason"] is None:
    *_, info = env.step(info["expert_action"])
assert info["success"]

import gymnasium
theirs, ours = (package.make("acme/Garden-v0") for package in (gymnasium, agentgym))
assert theirs.reset(seed=1) == ours.reset(seed=1)

assert "almanac" in registry.tools.names()
almanac = registry.tools.load("almanac")()
assert isinstance(almanac, agentgym.Tool)
answer = asyncio.run(almanac.call({"plant": "peas"}, timeout=1.0))
assert answer.text == "Plant peas in March."

assert "greenthumb" in registry.trainers.names()
assert registry.trainers.load("greenthumb").name == "greenthumb"

from agentgym.check import check
report = check("acme/Garden-v0")
assert report.passed, str(report)

with_process = agentgym.make_vec("acme/Garden-v0", 1, worker="process")
assert with_process.reset(seed=0)[0]["text"][0].startswith("Make the")
with_process.close()
print("found everything")
"""


@pytest.mark.integration
def test_an_installed_package_adds_an_environment_a_tool_and_a_trainer(tmp_path: Path) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    shutil.copytree(HERE / "acme_garden", source)  # building writes into the source tree
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(installed)]
    subprocess.run([*pip, *offline, str(source)], check=True, timeout=120)
    done = subprocess.run(
        [sys.executable, "-c", LOOK_AROUND],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "found everything"


def test_the_package_is_a_third_partys() -> None:
    """It uses nothing but what `import agentgym` offers."""
    for module in (HERE / "acme_garden" / "src").rglob("*.py"):
        for line in module.read_text().splitlines():
            if line.startswith(("import ", "from ")) and "agentgym" in line:
                assert line.startswith("from agentgym import "), f"{module}: {line}"
