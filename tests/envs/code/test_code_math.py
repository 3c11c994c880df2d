"""CodeMath: code runs, its output comes back, the answer ends the episode."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from shared_rows import row_files

import agentgym
from agentgym import RolloutConfig, collect
from agentgym.env import WorkerKind
from agentgym.envs.code import CodeMathEnv
from agentgym.errors import ConfigError, InfraError, UnknownNameError, UsageError
from agentgym.policies.scripted import ExpertPolicy
from agentgym.sandbox import Sandbox
from agentgym.stop_reason import StopReason

ID = "agentgym/CodeMath-v0"


def make(**options: Any) -> CodeMathEnv:
    env = agentgym.make(ID, **{"difficulty": "tiny", **options})
    assert isinstance(env, CodeMathEnv)
    return env


def begun(**options: Any) -> CodeMathEnv:
    env = make(**options)
    env.reset(seed=0, options={"task": 0})
    return env


def test_a_right_answer_earns_1_and_a_wrong_one_minus_1() -> None:
    for answer, reward, reason in (
        ("<answer>124433</answer>", 1.0, StopReason.SUCCESS),
        (r"So it is \boxed{124{,}433}", -1.0, StopReason.FAILURE),
        (r"So it is \boxed{124433}", 1.0, StopReason.SUCCESS),
        ("<answer>124434</answer>", -1.0, StopReason.FAILURE),
        ("<answer></answer>", -1.0, StopReason.FAILURE),
    ):
        env = begun()
        assert env.task.goal == "332 * 372 + 929 = ?"
        _, got, terminated, truncated, info = env.step(answer)
        assert (got, terminated, truncated, info["stop_reason"]) == (reward, True, False, reason)


def test_an_episode_that_is_cut_short_earns_minus_1() -> None:
    env = begun(max_turns=2)
    _, reward, *_, info = env.step("I think")
    assert reward == 0.0
    assert info["action_error"].startswith("No action: write one of <code>")
    _, reward, terminated, truncated, info = env.step("I think")
    assert (reward, terminated, truncated) == (-1.0, False, True)
    assert info["stop_reason"] is StopReason.TURN_LIMIT


def test_tools_are_called_as_the_format_calls_them() -> None:
    assert [tool.name for tool in make().tools] == ["code", "answer"]
    for name in ("tool_call", "react"):
        assert [t.name for t in make(action_format=name).tools] == ["python", "submit_answer"]


@pytest.mark.parametrize(
    ("options", "fault", "says"),
    [
        ({"sandbox": "bubblewarp"}, UnknownNameError, "bubblewrap"),
        ({"sandbox_options": {"memory": 1}}, ConfigError, "memory_mb"),
        ({"code_seconds": 0}, ConfigError, "wall_seconds"),
        ({"output_chars": 0}, UsageError, "output_chars"),
        ({"judge": "llm"}, UnknownNameError, "math_verify"),
        ({"difficulty": "tny"}, UnknownNameError, "tiny"),
        ({"colour": 1}, UnknownNameError, "option"),
        ({"expert": "coda"}, UnknownNameError, "coder"),
    ],
)
def test_wrong_options_say_what_is_known(
    options: dict[str, Any], fault: type[Exception], says: str
) -> None:
    with pytest.raises(fault, match=says):
        make(**options)


def test_a_sandbox_that_fails_is_no_fault_of_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    env = begun(sandbox="local", sandbox_options={"allow_unsafe": True})
    closed: list[Sandbox] = []

    def die(self: Sandbox, *_: Any, **__: Any) -> Any:
        raise InfraError("the sandbox has died")

    monkeypatch.setattr(Sandbox, "exec", die)
    with pytest.raises(InfraError, match="died"):
        env.step("<code>print(1)</code>")
    monkeypatch.undo()
    assert not closed
    env.reset(seed=0, options={"task": 0})
    assert env.step("<answer>124433</answer>")[1] == 1.0


@pytest.mark.integration
def test_the_output_comes_back_between_tags() -> None:
    env = begun(traceback=False)
    for code, shown in (
        ("print(332 * 372 + 929)", "124433"),
        ("\n```python\n6 * 7\n```\n", "42"),
        ("x = 1", "(no output)"),
        ("x", "NameError: name 'x' is not defined"),
        ("print(1)\n1 / 0", "1\nZeroDivisionError: division by zero"),
    ):
        observation, reward, terminated, _, info = env.step(f"<code>{code}</code>")
        assert observation["text"] == f"<interpreter>{shown}</interpreter>"
        assert (reward, terminated, info["action_error"]) == (0.0, False, None)
    env.close()


@pytest.mark.integration
def test_what_a_model_makes_up_is_cut_off() -> None:
    env = begun()
    made_up = "<code>print(5)</code><interpreter>124433</interpreter><answer>124433</answer>"
    observation, reward, terminated, *_ = env.step(made_up)
    assert observation["text"] == "<interpreter>5</interpreter>"
    assert (reward, terminated) == (0.0, False)
    env.close()


@pytest.mark.integration
def test_a_time_out_is_an_observation_and_the_episode_goes_on() -> None:
    env = begun(code_seconds=0.3)
    observation, reward, terminated, *_ = env.step("<code>while True: pass</code>")
    assert observation["text"].endswith("Stopped: it ran for longer than 0.3 s.</interpreter>")
    assert (reward, terminated) == (0.0, False)
    assert env.step("<code>print(1)</code>")[0]["text"] == "<interpreter>1</interpreter>"
    env.close()


@pytest.mark.integration
def test_state_is_kept_where_it_is_asked_for_and_never_between_episodes() -> None:
    env = begun(stateful=True)
    env.step("<code>x = 20; open('left', 'w').close()</code>")
    assert env.step("<code>x + 1</code>")[0]["text"] == "<interpreter>21</interpreter>"
    env.reset(seed=1)
    assert "NameError" in env.step("<code>x</code>")[0]["text"]
    assert "FileNotFound" in env.step("<code>open('left')</code>")[0]["text"]
    env.close()


@pytest.mark.integration
def test_several_tool_calls_keep_their_order_and_an_answer_ends_them() -> None:
    env = begun(action_format="tool_call", stateful=True)

    def call(name: str, argument: str, text: str) -> str:
        body = {"name": name, "arguments": {argument: text}}
        return f"<tool_call>{json.dumps(body)}</tool_call>"

    two = call("python", "code", "x = 3; print(x)") + call("python", "code", "print(x + 1)")
    assert env.step(two)[0]["text"] == "3\n4"
    last = call("python", "code", "print(5)") + call("submit_answer", "answer", "124433")
    observation, reward, terminated, *_ = env.step(last)
    assert (observation["text"], reward, terminated) == ("5\nRight.", 1.0, True)
    env.close()


@pytest.mark.integration
def test_slow_code_holds_up_nobody_else() -> None:
    assert CodeMathEnv.worker is WorkerKind.THREAD
    envs = agentgym.make_vec(ID, 3, difficulty="tiny", code_seconds=20)
    envs.reset(seed=0)
    envs.send(0, "<code>import time, os\nwhile not os.path.exists('go'): time.sleep(0.01)</code>")
    for member in (1, 2):
        envs.send(member, "<code>print(7)</code>")
    # Nothing ever writes that file: the others are answered while the first still runs.
    answered = {envs.recv(timeout=60)[0] for _ in range(2)}
    assert answered == {1, 2}
    envs.close()


def test_the_data_version_tells_tasks_apart() -> None:
    env = begun()
    first = env.data_version
    env.reset(options={"task": 1})
    assert env.data_version != first
    env.reset(options={"task": 0})
    assert env.data_version == first


@pytest.mark.integration
def test_the_use_of_the_interpreter_is_counted() -> None:
    env = begun()
    wanted = {"code_calls": 0.0, "code_passed": 0.0, "code_chars": 0.0, "code_mended": 0.0}
    for code, change in (
        ("1 / 0", {"code_calls": 1.0, "code_chars": 5.0}),
        ("prin(1)", {"code_calls": 2.0, "code_chars": 12.0}),
        (
            "print(1)",
            {"code_calls": 3.0, "code_passed": 1.0, "code_chars": 20.0, "code_mended": 1.0},
        ),
    ):
        wanted |= change
        assert env.step(f"<code>{code}</code>")[-1]["metrics"] == wanted
    assert env.step("no action")[-1]["metrics"] == wanted
    assert env.step("<answer>1</answer>")[-1]["metrics"] == wanted
    env.close()


@pytest.mark.integration
@pytest.mark.parametrize("level", ["tiny", "easy", "medium", "hard"])
def test_the_coder_solves_everything_in_two_turns(level: str) -> None:
    env = make(difficulty=level, expert=True)
    for index in range(6):
        _, info = env.reset(seed=0, options={"task": index})
        env.step(info["expert_action"])
        *_, info = env.step(env._info(env._frame)["expert_action"])  # pyright: ignore
        assert info["success"], env.task.goal
        assert info["metrics"]["code_passed"] == 1.0
    env.close()


@pytest.mark.integration
def test_a_demonstrator_that_errs_mends_it() -> None:
    seen = collect(
        ID,
        ExpertPolicy(noise=0.4),
        episodes=24,
        seed=3,
        config=RolloutConfig(),
        env_kwargs={"difficulty": "tiny", "max_turns": 12},
    )
    mended = [
        one for one in seen if one.metrics["code_mended"] and one.stop_reason is StopReason.SUCCESS
    ]
    assert mended
    assert sum(one.stop_reason is StopReason.SUCCESS for one in seen) > 8


@pytest.mark.integration
def test_rows_are_played_and_judged(tmp_path: Path) -> None:
    for path in row_files(tmp_path).values():
        env = agentgym.make(ID, data=path, expert="oracle")
        for index in (0, 1, len(env.tasks) - 1):
            _, info = env.reset(seed=0, options={"task": index})
            *_, info = env.step(info["expert_action"])
            assert info["success"], env.task
        env.close()


@pytest.mark.integration
def test_the_picture_shows_what_is_played() -> None:
    picture = (Path(__file__).parents[3] / "docs/images/codemath.svg").read_text(encoding="utf-8")
    drawn = [
        html.unescape(line) for line in re.findall(r'<text class="\w+" x="20"[^>]*>(.*)</', picture)
    ]
    env = agentgym.make(ID, traceback=False)
    shown = [env.reset(seed=0, options={"task": 1})[0]["text"]]
    for action in [line.removeprefix("> ") for line in drawn if line.startswith("> ")]:
        observation, reward, *_, info = env.step(action)
        shown += [f"> {action}", observation["text"]]
    shown.append(f"{info['stop_reason']} after {info['turn']} turns, reward {reward:g}")
    assert drawn == shown
    env.close()
