"""What the documentation says is so: pages exist, links resolve, code runs, commands parse."""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import agentgym
from agentgym.cli import VERBS

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "envs").glob("*/README.md"),
    ]
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
MARKED = "<!-- runs -->"
_BLOCK = re.compile(r"^(<!--.*?-->)?\n?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

RUN_ALL = """
import sys, types
for number, path in enumerate(sys.argv[1:]):
    module = types.ModuleType(f"block_{number}")
    sys.modules[module.__name__] = module
    source = open(path, encoding="utf-8").read()
    try:
        exec(compile(source, path, "exec"), module.__dict__)
    except BaseException:
        print("failed:", path, source, sep="\\n", file=sys.stderr)
        raise
"""


def blocks(page: Path, language: str) -> list[tuple[str, str]]:
    """Return (comment before it, text) of each block in a language."""
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [(comment, text) for comment, kind, text in found if kind == language]


def prose(page: Path) -> str:
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def slugs(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings]
    return {re.sub(r"[-\s]+", "-", text) for text in plain}


def navigation() -> set[str]:
    def pages(node: Any) -> list[str]:
        if isinstance(node, str):
            return [node]
        children = node.values() if isinstance(node, dict) else node
        return [page for child in children for page in pages(child)]

    return set(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))


def shown_commands() -> list[tuple[str, list[str]]]:
    """Return (page, words) of every `agentgym …` line in a bash block, comments left out."""
    commands: list[tuple[str, list[str]]] = []
    for page in PAGES:
        for _, text in blocks(page, "bash"):
            for line in text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words and Path(words[0]).name == "agentgym":
                    commands.append((str(page.relative_to(ROOT)), words[1:]))
    return commands


def is_placeholder(words: list[str]) -> bool:
    return any(word.isupper() or "…" in word for word in words)


def test_every_environment_and_trainer_has_a_page_in_the_navigation() -> None:
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    wanted = {
        f"environments/{env_id.partition('/')[2].rpartition('-v')[0].removesuffix('-*').lower()}.md"
        for env_id in points["agentgym.envs"]
    } | {f"algorithms/{name}.md" for name in points["agentgym.trainers"]}
    assert wanted <= navigation()


def test_the_navigation_holds_exactly_the_pages_there_are() -> None:
    docs = ROOT / "docs"
    assert navigation() == {str(page.relative_to(docs)) for page in docs.rglob("*.md")}


def test_every_environment_folder_has_a_readme_in_the_fixed_order() -> None:
    order = ["Description", "Action space", "Observation space", "Rewards", "Start", "End"]
    for env in (ROOT / "envs").glob("*/env.py"):
        headings = re.findall(r"^## (.+)$", (env.parent / "README.md").read_text(), re.MULTILINE)
        wanted = [*order, "Arguments", "Versions"]
        assert [heading for heading in headings if heading in wanted] == wanted


@pytest.mark.parametrize("name", NAMES)
def test_links_resolve(name: str) -> None:
    page = ROOT / name
    for link in _LINK.findall(prose(page)):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name}: {link}"
        if anchor:
            assert anchor in slugs(target), f"{name}: {link}"


@pytest.mark.parametrize("name", NAMES)
def test_python_compiles(name: str) -> None:
    for _, text in blocks(ROOT / name, "python"):
        ast.parse(text, filename=name)


def test_the_examples_compile() -> None:
    examples = sorted((ROOT / "examples").glob("*.py"))
    assert examples
    for example in examples:
        ast.parse(example.read_text(encoding="utf-8"), filename=example.name)


def test_marked_python_runs(tmp_path: Path) -> None:
    files: list[str] = []
    for name in NAMES:
        for number, (comment, text) in enumerate(blocks(ROOT / name, "python")):
            if comment == MARKED:
                file = tmp_path / f"{name.replace('/', '_')}-{number}.py"
                file.write_text(text, encoding="utf-8")
                files.append(str(file))
    assert files
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, *files],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_transcripts_are_what_the_expert_plays() -> None:
    (transcript,) = (
        (dict(re.findall(r"(\w+)=(\w+)", comment)), text)
        for comment, text in blocks(ROOT / "envs/alfworld/README.md", "text")
        if "played:" in comment
    )
    options, text = transcript
    seed = int(options.pop("seed"))
    env = agentgym.make("agentgym/ALFWorld-v0", expert=True, **options)
    observation, info = env.reset(seed=seed)
    shown = [observation["text"].partition("\n\n")[2]]
    while info["stop_reason"] is None:
        shown.append(f"> {info['expert_action']}")
        observation, *_, info = env.step(info["expert_action"])
        shown.append(observation["text"])
    assert info["success"]
    assert "\n".join(line.strip() for line in shown) == text.strip()

    picture = (ROOT / "docs/images/alfworld.svg").read_text(encoding="utf-8")
    drawn = " ".join(re.findall(r"<text [^>]*>([^<]*)</text>", picture)).replace("&gt;", ">")
    assert " ".join(text.split()) in drawn


def test_every_verb_is_in_the_table_of_verbs() -> None:
    described = re.findall(r"^\| `(\w+)", (ROOT / "docs/cli.md").read_text(), re.MULTILINE)
    assert set(VERBS) <= set(described)


def test_shown_commands_name_verbs_and_options_that_exist() -> None:
    commands = shown_commands()
    assert len(commands) > 10
    for page, words in commands:
        if is_placeholder(words):
            continue
        command: click.Command = import_module(f"agentgym.cli.{words[0]}").command
        rest = words[1:]
        if isinstance(command, click.Group):
            found = command.get_command(click.Context(command), rest[0])
            assert found is not None, f"{page}: {words}"
            command, rest = found, rest[1:]
        try:
            command.make_context(words[0], list(rest))
        except click.ClickException as fault:
            pytest.fail(f"{page}: agentgym {shlex.join(words)}: {fault.format_message()}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working folder with the checkout's configurations."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    return tmp_path


@pytest.mark.integration
@pytest.mark.slow
def test_archer_is_trained_from_nothing_as_the_readme_says(folder: Path) -> None:
    from agentgym.cli import ExitCode, main
    from agentgym.metrics import read_metrics

    page = ROOT / "README.md"
    text = next(text for _, text in blocks(page, "bash") if "configs/archer_tiny.yaml" in text)
    model, sft, archer = (shlex.split(line)[1:] for line in text.strip().splitlines())
    assert main(model) is ExitCode.OK
    fewer = ["steps=2", "demonstrations.episodes=16", "checkpoint.every=2"]
    assert main([*sft, *fewer, "--quiet"]) is ExitCode.OK
    fewer = ["steps=2", "warmup_steps=1", "critic.steps=2", "actor.steps=1", "checkpoint.every=2"]
    fewer += ["model.path=runs/questions/checkpoints/step-000002/model"]
    assert main([*archer, *fewer, "--quiet", "--out", "runs/archer"]) is ExitCode.OK
    last = list(read_metrics(folder / "runs" / "archer" / "metrics.jsonl"))[-1]
    assert last["critic/q_loss"] > 0
    assert last["optim/lr"] > 0


@pytest.mark.integration
def test_shown_training_commands_have_settings_that_exist(folder: Path) -> None:
    from agentgym.cli import ExitCode, main

    (folder / "arpo.yaml").write_text(blocks(ROOT / "docs/training.md", "yaml")[0][1])
    shown = [words for _, words in shown_commands() if words[0] == "train"]
    whole = [words for words in shown if "--resume" not in words and not is_placeholder(words)]
    assert whole
    for words in whole:
        assert main([*words, "--dry-run"]) is ExitCode.OK, words
