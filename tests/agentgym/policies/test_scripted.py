"""Policies without a model, and how a policy is asked for by name."""

import asyncio
import json
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy_envs

from agentgym.actions import ParsedAction, action_format
from agentgym.env import Frame, WorkerKind
from agentgym.errors import DataError, PolicyError, UnknownNameError, UsageError
from agentgym.models.tiny import build_tiny
from agentgym.policies import make_policy
from agentgym.policies.human import HumanPolicy
from agentgym.policies.scripted import ExpertPolicy, RandomPolicy, ReplayPolicy
from agentgym.policies.transformers import TransformersPolicy
from agentgym.policy import Completion, Policy, Request, Sampling
from agentgym.rollout import Collector, EpisodeSpec, RolloutConfig
from agentgym.stop_reason import StopReason
from agentgym.tool import ToolCall, ToolSpec
from agentgym.trajectory import Trajectory, Turn


def request(episode: str = "e", *texts: str, seed: int | None = None, **info: Any) -> Request:
    roles = ["system", "user", "assistant"]
    messages = [
        {"role": roles[k if k < 2 else 2 - k % 2], "content": text} for k, text in enumerate(texts)
    ]
    return Request(episode, messages, None, Sampling(seed=seed), info)


def answer(policy: Policy, asked: Request) -> str:
    [completion] = asyncio.run(policy.generate([asked]))
    assert len(completion.ids) == 0
    return completion.text


def test_the_expert_does_what_info_says():
    assert answer(make_policy("oracle"), request(expert_action="open door")) == "open door"
    with pytest.raises(PolicyError, match="expert='explorer'"):
        answer(make_policy("explorer"), request())


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [("expert", True), ("expert:wise", "wise"), ("oracle", "oracle"), ("explorer", "explorer")],
)
def test_which_expert_is_wanted(spec: str, wanted: bool | str):
    policy = make_policy(spec)
    assert isinstance(policy, ExpertPolicy)
    assert policy.wants_expert == wanted


def completions(policy: Policy, count: int = 400, **info: Any) -> list[Completion]:
    asked = [request("e", "s", "a red door", seed=k, **info) for k in range(count)]
    return asyncio.run(policy.generate(asked))


def test_errors_of_a_noisy_expert_are_marked_and_are_never_its_own_action():
    policy = ExpertPolicy(noise=0.3)
    commands = ["open door", "look", "go"]
    found = completions(policy, expert_action="open door", admissible_commands=commands)
    errors = [c.text for c in found if c.exploratory]
    assert 80 < len(errors) < 160
    assert {c.text for c in found if not c.exploratory} == {"open door"}
    assert "open door" not in errors
    admissible = sum(text in commands for text in errors) / len(errors)
    assert 0.35 < admissible < 0.65
    others = {tuple(text.split()) for text in errors if text not in commands}
    first = {(word, "door") for word in ("a", "red", "door")}
    second = {("open", word) for word in ("a", "red")}
    assert others == first | second


class Offering(toy_envs.Counter):
    """Lists what may be done."""

    def _show(self, text: str, **given: Any) -> Frame:
        frame = super()._show(text, **given)
        commands = [str(number) for number in range(-6, 7)]
        return replace(frame, info={**frame.info, "admissible_commands": commands})


def played(policy: Policy, kind: Any, form: str, episodes: int = 30) -> list[Turn]:
    arguments = {"action_format": form, "max_turns": 4}
    once = RolloutConfig(worker=WorkerKind.SHARED, retries=0)
    with Collector(kind, arguments, policy, once) as collector:
        trajectories = collector.collect([EpisodeSpec(seed=k) for k in range(episodes)])
    assert all(trajectory.stop_reason.trainable for trajectory in trajectories)
    return [turn for trajectory in trajectories for turn in trajectory.turns]


FORMATS = ["plain", "tags", "tool_call", "react"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", [Offering, toy_envs.Counter, toy_envs.Moody])
def test_random_commands_are_actions_in_every_format(kind: Any, form: str):
    turns = played(RandomPolicy(), kind, form)
    assert len({turn.action for turn in turns}) > 5
    tool = "do" if kind is toy_envs.Moody else "add"
    assert all([call.name for call in turn.calls] == [tool] for turn in turns)
    if kind is Offering:
        assert {turn.action_error for turn in turns} == {None}


@pytest.mark.parametrize("form", FORMATS)
def test_errors_of_a_noisy_expert_are_other_actions_in_every_format(form: str):
    turns = played(ExpertPolicy("slow", noise=0.4), Offering, form)
    wrong = [turn for turn in turns if turn.exploratory]
    assert len(wrong) > 20
    for turn in turns:
        [call] = turn.calls
        assert call.name == "add"
        right = call.arguments["number"] in {"-1", "0", "1"} and turn.action_error is None
        assert right or turn.exploratory
    # Half of them are commands, half have a word that was read, which is mostly no number.
    commands = sum(turn.action_error is None for turn in wrong)
    assert 0.25 < commands / len(wrong) < 0.85


@pytest.mark.parametrize("form", FORMATS)
def test_the_other_command_is_never_the_experts_action(form: str):
    tools = (ToolSpec.text("do", "Does it.", "what", "what to do"),)
    chosen = action_format(form)

    def written(command: str) -> str:
        thought = ParsedAction((ToolCall("do", {"what": command}),), "Open it.")
        return chosen.render(thought, tools)

    asked = [
        replace(
            request("e", "s", "a red door", seed=k),
            info={
                "expert_action": written("open door"),
                "admissible_commands": ["open door", "look"],
            },
            tools=tools,
            action_format=chosen,
        )
        for k in range(300)
    ]
    found = asyncio.run(ExpertPolicy(noise=0.9).generate(asked))
    said = {
        str(chosen.parse(one.text, tools).calls[0].arguments["what"])
        for one in found
        if one.exploratory
    }
    slips = {f"{word} door" for word in ("a", "red", "door")} | {"open a", "open red"}
    assert said == {"look"} | slips
    assert {one.text for one in found if not one.exploratory} == {written("open door")}


def test_an_action_without_a_text_is_misread_as_a_whole():
    tools = (ToolSpec("press", "Presses.", {"type": "object"}),)
    chosen = action_format("tool_call")
    right = chosen.render(ParsedAction((ToolCall("press", {"times": 2}),)), tools)
    asked = replace(
        request("e", "s", "a door", seed=1, expert_action=right), tools=tools, action_format=chosen
    )
    [found] = asyncio.run(ExpertPolicy(noise=0.999).generate([asked]))
    assert found.exploratory
    assert found.text != right
    assert answer(RandomPolicy(), asked) in {"a", "door"}


@pytest.mark.parametrize("noise", [1.0, -0.1])
def test_noise_that_is_not_a_probability_is_refused(noise: float):
    with pytest.raises(UsageError, match="noise is a probability"):
        ExpertPolicy(noise=noise)


def test_random_choices_are_even_and_follow_the_seeds():
    policy = make_policy("random:3")
    commands = ["a", "b", "c"]
    picks = [
        answer(policy, request("e", "s", "o", seed=k, admissible_commands=commands))
        for k in range(600)
    ]
    assert all(150 < count < 250 for count in Counter(picks).values())
    again = RandomPolicy(3)
    for k in (5, 1, 3):
        asked = request("other", "s", "o", seed=k, admissible_commands=commands)
        assert answer(again, asked) == picks[k]


def test_random_without_a_list_says_a_word_it_read():
    policy = RandomPolicy(render=lambda word: f"<{word}>")
    assert answer(policy, request("e", "s", "open the door")) in {"<open>", "<the>", "<door>"}
    assert answer(policy, request("e", "s", "")) == "<>"


def test_a_recording_starts_over_in_each_episode_and_runs_out_with_a_sentence():
    turns = [Turn("o", "first"), Turn("o", "second")]
    policy = ReplayPolicy.of(Trajectory("e", "t", StopReason.SUCCESS, turns))
    assert answer(policy, request("a", "s", "o")) == "first"
    assert answer(policy, request("a", "s", "o", "first", "o")) == "second"
    assert answer(policy, request("b", "s", "o")) == "first"
    with pytest.raises(PolicyError, match="has 2 actions"):
        answer(policy, request("a", "s", "o", "first", "o", "second", "o"))


def test_recordings_are_read_from_files(tmp_path: Path):
    lines, array = tmp_path / "lines.txt", tmp_path / "array.json"
    lines.write_text("go to désk 1\ntake mug\n", encoding="utf-8")
    array.write_text(json.dumps(["two\nlines", "x"]), encoding="utf-8")
    assert answer(make_policy(f"replay:{lines}"), request("e", "s", "o")) == "go to désk 1"
    assert answer(make_policy(f"replay:{array}"), request("e", "s", "o")) == "two\nlines"
    for content in ("[1]", "[", "\ud800"):
        array.write_bytes(content.encode("utf-8", "surrogatepass"))
        with pytest.raises(DataError, match=r"array\.json"):
            make_policy(f"replay:{array}")
    with pytest.raises(DataError, match="gone"):
        make_policy(f"replay:{tmp_path / 'gone'}")


def player(*lines: str) -> tuple[HumanPolicy, list[str]]:
    left, shown = list(lines), []

    def read(_: str) -> str:
        if not left:
            raise EOFError
        return left.pop(0)

    return HumanPolicy("oracle", read=read, write=shown.append), shown


def test_a_person_sees_the_observation_and_may_ask_for_a_hint():
    policy, shown = player("/hint", "open door", "go")
    assert policy.wants_expert == "oracle"
    first = request("e", "Rules.", "A room.", expert_action="look")
    assert answer(policy, first) == "open door"
    assert shown[0] == "Rules."
    assert shown[-2:] == ["\nA room.", "look"]
    shown.clear()
    assert answer(policy, request("e", "Rules.", "A room.", "open door", "A hall.")) == "go"
    assert shown == ["\nA hall."]


@pytest.mark.parametrize("lines", [["/quit"], []])
def test_a_person_may_leave(lines: list[str]):
    with pytest.raises(PolicyError, match="left"):
        answer(player(*lines)[0], request("e", "s", "o"))


def test_waiting_for_a_person_blocks_neither_the_loop_nor_its_end():
    asked = asyncio.Event()

    def read(_: str) -> str:
        loop.call_soon_threadsafe(asked.set)
        threading.Event().wait(30)
        return ""

    async def run() -> None:
        waiting = asyncio.create_task(HumanPolicy(read=read, write=str).generate([request()]))
        await asyncio.wait_for(asked.wait(), 5)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(run())
    finally:
        loop.close()


def test_a_folder_is_a_model(tmp_path: Path):
    build_tiny(tmp_path, ["go to desk 1"], hidden=16, layers=1)
    for spec in (str(tmp_path), f"transformers:{tmp_path}"):
        policy = make_policy(spec, slots=2)
        assert isinstance(policy, TransformersPolicy)
        assert policy.context_length == 4096


def test_what_is_neither_a_name_nor_a_folder_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'oracle'"):
        make_policy("oracel")
    with pytest.raises(UnknownNameError, match="no policy"):
        make_policy("./no/such/folder")
    with pytest.raises(UsageError, match="temperature"):
        make_policy("random", temperature=1)
