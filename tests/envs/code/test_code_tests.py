"""CodeTests: hidden tests that can be passed by right code and by nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

import agentgym
from agentgym.envs.code import CodeTestsEnv
from agentgym.envs.code.functions import GeneratedFunctions
from agentgym.errors import DataError, UnknownNameError, UsageError
from agentgym.sandbox import make_sandbox
from agentgym.task import Task

ID = "agentgym/CodeTests-v0"

ROW = {
    "task_id": 601,
    "text": "Write a function to square a number.",
    "code": "def square(n):\r\n  return n * n",
    "test_list": [
        "assert square(30303) == 918271809",
        "assert square(-2) == 4",
        "assert square(7) == 49",
    ],
    "test_setup_code": "",
}
NEEDLE = "918271", "809"
"""What the first test expects, cut in two, so that code that looks for it doesn't find itself."""


def make(**options: Any) -> CodeTestsEnv:
    env = agentgym.make(ID, **options)
    assert isinstance(env, CodeTestsEnv)
    return env


def submit(code: str, **options: Any) -> dict[str, Any]:
    env = make(**{"data": [ROW], "code_seconds": 2.0, **options})
    env.reset(seed=0)
    _, reward, terminated, _, info = env.step(f"<answer>{code}</answer>")
    env.close()
    assert terminated
    assert reward == (1.0 if info["success"] else -1.0)
    return info


def test_the_model_is_shown_what_it_may_see() -> None:
    for shown in (0, 1, 3):
        observation, _ = make(data=[ROW], shown_tests=shown).reset(seed=0)
        assert observation["text"].split("\n") == [ROW["text"], *ROW["test_list"][:shown]]


def test_a_generated_function_stays_what_it_is() -> None:
    tasks = GeneratedFunctions("train")
    assert len(tasks) == 2000
    for index in (0, 9, 1999):
        assert tasks[index] == GeneratedFunctions("train")[index]
        assert tasks.find(tasks[index].id) == index
        assert len(set(tasks[index].data["tests"])) == 8
    goals = [{GeneratedFunctions(split)[i].goal for i in range(200)} for split in ("train", "test")]
    assert not goals[0] & goals[1]
    with pytest.raises(UnknownNameError, match="train/"):
        tasks.find("test/multiples/0")


@pytest.mark.integration
def test_references_pass_their_own_tests() -> None:
    for options in ({}, {"split": "test"}, {"data": [ROW]}):
        env = make(expert="oracle", **options)
        for index in range(min(8, len(env.tasks))):
            _, info = env.reset(seed=0, options={"task": index})
            *_, info = env.step(info["expert_action"])
            assert info["success"], env.task
            assert info["metrics"]["tests_passed"] == 1.0
        env.close()


@pytest.mark.integration
def test_wrong_code_passes_some_tests_and_earns_minus_1() -> None:
    info = submit("def square(n): return 2 * n + (n == 7) * 35")
    assert not info["success"]
    assert info["metrics"]["tests_passed"] == pytest.approx(1 / 3)


CHEATS = {
    "leaving": "exit(0)",
    "leaving at once": "import os\nos._exit(0)",
    "leaving when called": "def square(n): raise SystemExit(0)",
    "equal to everything": (
        "class Yes:\n    def __eq__(self, other): return True\ndef square(n): return Yes()"
    ),
    "an integer equal to everything": (
        "class Yes(int):\n    def __eq__(self, other): return True\n"
        "    __hash__ = int.__hash__\ndef square(n): return Yes(1)"
    ),
    "another json": (
        'import json\njson.dump = lambda value, file: file.write(\'[["int", "0x1"]]\')\n'
        "def square(n): return 0"
    ),
    "verdicts in the file": (
        "import io, os\n"
        "for i in range(9):\n    open(f'.value-{i}', 'w').write('[true]')\n"
        "os._exit(0)"
    ),
    "another kind of file": (
        "import os\nfor i in range(9):\n    os.symlink('/dev/zero', f'.value-{i}')\nos._exit(0)"
    ),
    "saying so": "print('3 of 3 tests pass.')\ndef square(n): return 0",
    "a bottomless value": (
        "def square(n):\n    x = []\n    for _ in range(10**5): x = [x]\n    return x"
    ),
    "an endless value": "def square(n): return 'x' * (1 << 24)",
    "looking for the tests": f"""
import gc, os, sys
def square(n):
    first, second = {NEEDLE!r}
    texts = [repr(dict(os.environ))]
    paths = ["/proc/self/environ", "/proc/self/cmdline"]
    for folder in (".", "/tmp", "/box", "/jail"):
        paths += [os.path.join(path, name) for path, _, names in os.walk(folder) for name in names]
    for path in paths:
        try:
            texts.append(open(path, errors="ignore").read(1 << 20))
        except OSError:
            pass
    texts += [thing for thing in gc.get_objects() if isinstance(thing, str)]
    frame = sys._getframe()
    while frame:
        texts += [repr(frame.f_locals), repr(frame.f_code.co_consts)]
        frame = frame.f_back
    import linecache
    texts += [repr(linecache.cache)]
    found = any(part.startswith(second) for text in texts for part in text.split(first)[1:])
    return int(first + second) if found else 0
""",
    "nothing": "",
    "no Python": "def square(n) return n",
    "an open bracket": "def square(n): return n * n\n(",
    "half a surrogate": "\ud800",
}


@pytest.mark.integration
@pytest.mark.parametrize("cheat", CHEATS)
def test_a_pass_cannot_be_forged(cheat: str) -> None:
    info = submit(CHEATS[cheat], data=[{**ROW, "test_list": ROW["test_list"][:1]}])
    assert not info["success"]
    assert info["metrics"]["tests_passed"] == 0.0


@pytest.mark.integration
def test_the_looking_finds_what_is_there() -> None:
    """The search among the cheats would find the expected value, were it anywhere."""
    with make_sandbox(files={"tests.py": "".join(NEEDLE)}) as box:
        code = CHEATS["looking for the tests"] + "\nprint(square(1))"
        assert box.exec(code).stdout.strip() == "".join(NEEDLE)


@pytest.mark.integration
@pytest.mark.parametrize(
    "code",
    [
        "square = lambda n: n ** 2",
        "open = json = io = repr = print = None\ndef square(n): return n * n",
        "print('x' * 1_000_000)\ndef square(n):\n    print(n)\n    return n * n",
        "class Square:\n    def __call__(self, n): return n * n\nsquare = Square()",
        "def square(n): return n * n\nif __name__ == '__main__': print(square(3))",
        "from __future__ import annotations\ndef square(n: Number): return n * n",
        "```python\ndef square(n):\n    return n * n\n```",
        "def square(n): return n * n  # so",
    ],
)
def test_right_code_passes_however_it_is_written(code: str) -> None:
    assert submit(code)["success"]


@pytest.mark.integration
def test_code_that_hangs_is_stopped_once_for_all_tests() -> None:
    info = submit("def square(n):\n    while True: pass", code_seconds=0.3)
    assert info["metrics"]["tests_passed"] == 0.0


@pytest.mark.integration
def test_what_ran_before_the_submission_is_not_in_the_box_that_judges() -> None:
    env = make(data=[ROW], stateful=True)
    env.reset(seed=0)
    env.step("<code>def square(n): return n * n\nopen('helper.py', 'w').write('k = 2')</code>")
    *_, info = env.step("<answer>from helper import k\ndef square(n): return n ** k</answer>")
    assert info["metrics"]["tests_passed"] == 0.0
    env.close()


@pytest.mark.integration
def test_values_of_every_plain_kind_come_back(tmp_path: Path) -> None:
    values = [
        "None", "True", "-3", "10**40", "1.5", "float('inf')", "2j", "'é\\ud800'", "b'\\x00'",
        "[1, (2,)]", "{1, 2}", "frozenset([1])", "{'a': {2: None}}", "()", "set()",
    ]  # fmt: skip
    kept = [v for v in values if "\\u" not in v]
    row = {
        "prompt": "Return the argument.",
        "code": "def same(x): return x",
        "test_list": [f"assert same({value}) == {value}" for value in kept if "inf" not in value],
        "test_imports": ["import math", "from collections import Counter, namedtuple"],
    }
    row["test_list"] += ["assert same(Counter('aab')) == {'a': 2, 'b': 1}"]  # pyright: ignore
    row["test_list"] += ["assert same(math.inf) == float('inf')"]  # pyright: ignore
    row["test_list"] += ["assert same(namedtuple('P', 'x y')(1, 2)) == (1, 2)"]  # pyright: ignore
    path = tmp_path / "mbpp.jsonl"
    path.write_text(json.dumps(row))
    env = make(data=path, expert=True)
    _, info = env.reset(seed=0)
    assert env.task.id == "mbpp/0"
    env.step(info["expert_action"])
    *_, info = env.step(f"<answer>{row['code']}</answer>")
    assert info["success"], info["metrics"]
    env.close()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"text": "?"}], "test_list"),
        ([{"task_id": 1, "test_list": ["assert f(1) == 2"]}], "prompt"),
        ([{"text": "?", "test_list": []}], "no list of tests"),
        ([{"text": "?", "test_list": ["assert all(f(x) for x in y)"]}], "row 0.*judged apart"),
    ],
)
def test_rows_that_cannot_be_judged_are_named(rows: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(DataError, match=says):
        make(data=rows).reset(seed=0)


def test_a_task_without_tests_and_a_count_below_0_are_refused() -> None:
    with pytest.raises(DataError, match="holds no"):
        make().reset(seed=0, options={"task": Task("mine", "Do it.")})
    with pytest.raises(UsageError, match="shown_tests"):
        make(shown_tests=-1)
