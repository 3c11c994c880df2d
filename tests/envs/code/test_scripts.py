"""CodeMath's worked solutions as episodes: what is written, and what the interpreter says of it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from chat_endpoints import Answer, chat_endpoint

import agentgym
from agentgym.chat_endpoint import ChatEndpoint
from agentgym.cli import ExitCode, main
from agentgym.conversion import Conversion, convert
from agentgym.envs.code import CodeMathEnv
from agentgym.envs.code.families import FAMILIES, TINY_FAMILIES, Level
from agentgym.envs.code.plans import plan
from agentgym.envs.code.scripts import CodeScript
from agentgym.errors import UsageError
from agentgym.progress import Display
from agentgym.scripts import UnscriptedError
from agentgym.stop_reason import StopReason
from agentgym.trajectory import Trajectory, Turn

ID = "agentgym/CodeMath-v0"
ROWS = [
    {
        "question": "A crate holds 12 jars and a shelf 9 crates. How many jars fit on 7 shelves?",
        "answer": "12 * 9 = <<12*9=108>>108 jars.\nSo 108 * 7 = <<108*7=756>>756 fit.\n#### 756",
    },
    {
        "question": "A farm sells 1,350 eggs at $2 a dozen less 10%. What does it earn?",
        "answer": "1350/12=<<1350/12=112.5>>112.5 dozens at $2*.9=$<<2*.9=1.8>>1.8, which is "
        "112.5*1.8=<<112.5*1.8=202.5>>202.5 in all\n#### 202.50",
    },
    {"question": "What is 6 * 7?", "answer": "42"},
    {"question": "What is 6 * 8?", "answer": "6*8=<<6*8=46>>46\n#### 46"},
    {"question": "What is 1 / 0?", "answer": "1/0=<<1/0=0>>0\n#### 0"},
    {"question": "What is 6 * 9?", "answer": "6 nines are <<6 nines=54>>54\n#### 54"},
]


def make(**options: Any) -> CodeMathEnv:
    env = agentgym.make(ID, **{"data": ROWS[:2], "judge": "exact", **options})
    assert isinstance(env, CodeMathEnv)
    return env


def script(index: int, **options: Any) -> CodeScript:
    env = make(**options)
    return env.scriptwriter().by_rule(env.tasks[index])


def converted(rewriter: Any = None, **options: Any) -> Conversion:
    # A busy machine takes its time, and what is late is left out.
    kwargs = {"judge": "exact", "code_seconds": 30.0, **options}
    return convert(ID, rewriter, env_kwargs=kwargs, display=Display.OFF)


def test_a_step_says_what_it_computes_and_goes_on_with_what_came_out() -> None:
    assert script(0) == CodeScript(
        (
            "12 * 9\n<code>print(12 * 9)</code>",
            "= 108 jars.\nSo 108 * 7\n<code>print(108 * 7)</code>",
            "= 756 fit.\n<answer>756</answer>",
        ),
        (("108",), ("756",)),
    )


def test_tool_calls_are_written_as_tool_calls() -> None:
    first, _, last = script(0, action_format="tool_call").actions
    call = '<tool_call>\n{"name": "python", "arguments": {"code": "print(12 * 9)"}}\n</tool_call>'
    assert first == f"12 * 9\n{call}"
    assert '"submit_answer", "arguments": {"answer": "756"}' in last
    react = script(0, action_format="react").actions
    assert react[0] == "Thought: 12 * 9\nAction: python[print(12 * 9)]"
    with pytest.raises(UnscriptedError, match="wrong format: plain reads it as something else"):
        script(0, action_format="plain")


def test_steps_are_joined_where_there_are_too_few_turns() -> None:
    joined = script(0, max_turns=2)
    assert joined.actions == (
        "12 * 9\n<code>x1 = 12 * 9\nprint(x1)\nx2 = x1 * 7\nprint(x2)</code>",
        "= 108 jars.\nSo 108 * 7= 756 fit.\n<answer>756</answer>",
    )
    assert joined.stated == (("108", "756"),)
    assert len(script(0, max_turns=None).actions) == 3
    with pytest.raises(UsageError, match="max_turns must be 2 or more"):
        script(0, max_turns=1)


def test_names_outlive_a_turn_only_where_the_environment_keeps_them() -> None:
    assert "x2 = x1 * 7" in script(0, stateful=True).actions[1]
    assert "x2 = x1 * 7" in script(0, sandbox_options={"stateful": True}).actions[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_words_for_its_code(family: str) -> None:
    for level in Level:
        if level is Level.TINY and family not in TINY_FAMILIES:
            continue
        env = make(data=None, difficulty=str(level), families=[family])
        task = env.tasks[3]
        written = env.scriptwriter().by_rule(task)
        first, last = written.actions
        assert first == f"{plan(family, level)}\n<code>{task.data['code']}</code>"
        assert last == f"That is what was asked for.\n<answer>{task.truth}</answer>"
        assert written.stated == ((task.truth,),)


def test_a_problem_without_a_solution_is_not_rewritten() -> None:
    env = make(data=ROWS)
    writer = env.scriptwriter()
    assert "Worked solution:\n12 * 9 = 108" in str(writer.asking(env.tasks[0])[1]["content"])
    with pytest.raises(UnscriptedError, match="no solution: there is an answer alone"):
        writer.asking(env.tasks[2])
    empty = make(data=[{"question": "?", "solution": "", "answer": "1"}])
    with pytest.raises(UnscriptedError, match="no solution: the row's field is empty"):
        empty.scriptwriter().by_rule(empty.tasks[0])
    generated = make(data=None)
    with pytest.raises(UnscriptedError, match="no solution: only rows"):
        generated.scriptwriter().asking(generated.tasks[0])


def test_a_model_may_not_write_more_blocks_than_there_are_turns() -> None:
    env = make(max_turns=2)
    text = "<code>print(1)</code><code>print(2)</code><answer>2</answer>"
    with pytest.raises(UnscriptedError, match="too many blocks: 2 of them, with room for 1"):
        env.scriptwriter().by_model(env.tasks[0], text)


def played(*shown: str, passed: int | None = None) -> Trajectory:
    """Return an episode that was shown these outputs."""
    observations = ["question", *(f"<interpreter>{text}</interpreter>" for text in shown)]
    calls = len(shown)
    return Trajectory(
        ID,
        "task",
        StopReason.SUCCESS,
        [Turn(observation, "") for observation in observations],
        metrics={"code_calls": calls, "code_passed": calls if passed is None else passed},
    )


@pytest.mark.parametrize(
    ("episode", "flaw"),
    [
        (played("108", "112.5\n0.30000000000000004"), None),
        (played("108.0", "112.5\n0.3"), None),
        (played("107", "112.5\n0.3"), "another result"),
        (played("108", "112.5"), "another result"),
        (played("108", "112.5\n0.3\n4"), "another result"),
        (played("108", "(no output)"), "code printed nothing"),
        (played("ZeroDivisionError: division by zero", "1", passed=1), "code failed"),
    ],
)
def test_the_interpreter_has_to_agree(episode: Trajectory, flaw: str | None) -> None:
    found = CodeScript(("", "", ""), (("108",), ("112.50", ".3"))).flaw(episode)
    assert (None if found is None else found.reason) == flaw


def test_nothing_is_asked_of_an_output_that_nothing_is_known_of() -> None:
    unknown = CodeScript(("", ""), ((),))
    assert unknown.flaw(played("whatever\nit is")) is None
    flaw = unknown.flaw(played("(no output)"))
    assert flaw is not None


# With an interpreter.


@pytest.mark.integration
@pytest.mark.parametrize("action_format", ["tags", "tool_call"])
def test_solutions_become_episodes_with_true_output(action_format: str) -> None:
    found = converted(data=ROWS, action_format=action_format)
    assert len(found.kept) == 2, found.reasons
    first, second = found.kept
    outputs = [turn.observation for turn in first.turns[1:]]
    wrap = "<interpreter>{}</interpreter>" if action_format == "tags" else "{}"
    assert outputs == [wrap.format("108"), wrap.format("756")]
    assert second.turns[1].observation == wrap.format("112.5\n1.8\n202.5")
    assert [t.stop_reason for t in found.kept] == [StopReason.SUCCESS] * 2
    assert {int(one.task_id.removeprefix("rows/")): one.reason for one in found.left_out} == {
        2: "no calculation",
        3: "another result",
        4: "code failed",
        5: "unreadable calculation",
    }
    details = {one.reason: one.detail for one in found.left_out}
    assert details["another result"] == "the text has 46, the interpreter 48"
    assert details["code failed"] == "ZeroDivisionError: division by zero"


@pytest.mark.integration
def test_a_solution_may_stand_in_a_field_of_its_own_and_its_answer_is_judged() -> None:
    solutions = ("2+2=<<2+2=4>>4, so \\boxed{4}", "2+2=<<2+2=4>>4, or 5 \\boxed{5}")
    rows = [{"q": "What is 2 + 2?", "work": one, "answer": "4"} for one in solutions]
    found = converted(data=rows, question_field="q", solution_field="work")
    (kept,) = found.kept
    assert kept.turns[-1].action == "= 4, so \\boxed{4}\n<answer>4</answer>"
    assert found.reasons == {"wrong answer": 1}


@pytest.mark.integration
def test_a_model_rewrites_what_has_no_marks() -> None:
    rows = [
        {"question": f"How much is {a} times {b}?", "solution": f"It is {a * b}.", "answer": a * b}
        for a, b in ((6, 7), (6, 8), (6, 9), (7, 7), (7, 8))
    ]
    texts = {
        "6 times 7": "I multiply.\n<code>print(6 * 7)</code>\nSo 42.\n<answer>42</answer>",
        "6 times 8": "I multiply.\n<code>print(6 * 8)</code>\nSo 47.\n<answer>47</answer>",
        "6 times 9": "<code>print(6 * n)</code>\nSo 54.\n<answer>54</answer>",
        "7 times 7": "<code>print(7 * 7)</code><interpreter>49</interpreter><answer>49</answer>",
        "7 times 8": "<code>n = 7 * 8</code>\nSo 56.\n<answer>56</answer>",
    }

    def reply(body: Any) -> Answer:
        asked = body["messages"][-1]["content"]
        return Answer.saying(next(text for words, text in texts.items() if words in asked))

    with chat_endpoint(reply) as endpoint:
        found = converted(ChatEndpoint(endpoint.url, "m"), data=rows, action_format="tool_call")
    (kept,) = found.kept
    assert kept.task_id == "rows/0"
    assert kept.turns[0].action.startswith("I multiply.\n<tool_call>\n")
    assert kept.turns[1].observation == "42"
    assert dict(found.reasons) == {
        "wrong answer": 1,
        "code failed": 1,
        "invented output": 1,
        "code printed nothing": 1,
    }


@pytest.mark.integration
@pytest.mark.parametrize("stateful", [False, True])
def test_generated_problems_convert_without_exception(stateful: bool) -> None:
    for level in Level:
        found = converted(difficulty=str(level), problems=12, stateful=stateful)
        assert (len(found.kept), found.reasons) == (12, {}), level
        assert all(len(t.turns) == 2 for t in found.kept)


@pytest.mark.integration
def test_what_is_converted_can_be_learnt_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    env = ["problems=8", "difficulty=tiny", "instructions="]
    assert main(["convert", ID, "--quiet", "--out", "cold", *env]) is ExitCode.OK
    built = ["model", "tiny", "tiny", "--env", ID, "--episodes", "8", "--digits", *env]
    assert main([*built, "--hidden", "16", "--layers", "1"]) is ExitCode.OK
    learnt = ["train", "sft", "--quiet", "--env", ID, "--model", "tiny", "--out", "sft"]
    settings = ["demonstrations.runs=[cold]", "batch_size=4", "steps=2"]
    assert main([*learnt, *settings]) is ExitCode.OK
    lines = (tmp_path / "sft" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert '"imitation/episodes":4' in lines[-1]
