"""A model behind a URL plays: what it is sent, what its answers become, and who is to blame."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_envs
from chat_endpoints import Answer, Endpoint, chat_endpoint

from agentgym.actions import action_format
from agentgym.backoff import Backoff
from agentgym.cli import ExitCode, main
from agentgym.errors import InfraError, PolicyError, UsageError
from agentgym.evaluation import evaluate
from agentgym.message import Message
from agentgym.policies import make_policy
from agentgym.policies.openai import OpenAIPolicy
from agentgym.policy import Completion, FinishReason, Request, Sampling
from agentgym.progress import Display
from agentgym.rollout import Collector, EpisodeSpec, RolloutConfig, collect
from agentgym.stop_reason import StopReason
from agentgym.store import Store
from agentgym.tool import ToolSpec
from agentgym.usage import Metered, Usage

QUESTIONS = "agentgym/TwentyQuestions-v0"
SAY = ToolSpec.text("say", "Say something.", "text", "what")
CHAT: list[Message] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "6 * 7?"},
]
SOON = RolloutConfig(backoff=Backoff(first=0), worker="shared")


def request(messages: list[Message] = CHAT, form: str | None = None, **sampling: Any) -> Request:
    chosen = None if form is None else action_format(form)
    return Request("e", messages, None, Sampling(**sampling), tools=(SAY,), action_format=chosen)


def ask(endpoint: Endpoint, *requests: Request, **options: Any) -> list[Completion]:
    async def main() -> list[Completion]:
        policy = make_policy("openai:a-model", base_url=endpoint.url, **options)
        try:
            return await policy.generate(requests)
        finally:
            policy.release("e")
            await policy.close()

    return asyncio.run(main())


def test_a_request_says_how_to_sample() -> None:
    with chat_endpoint(lambda _: Answer.saying("42")) as endpoint:
        sampling = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 9, "stop": (".",), "seed": 7}
        (completion,) = ask(endpoint, request(**sampling, top_k=5), key="secret")
        ask(endpoint, request(seed=2**55 + 3))
    assert completion.text == "42"
    assert completion.finish is FinishReason.STOP
    assert len(completion.ids) == len(completion.logprobs) == 0
    (path, headers, body), (_, _, plain) = endpoint.requests
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == "Bearer secret"
    wanted = {**sampling, "stop": ["."], "top_k": 5}
    assert body == {"model": "a-model", "messages": CHAT, **wanted}
    assert plain["seed"] == 3  # every server takes 31 bits
    assert "stop" not in plain
    assert "top_k" not in plain


def test_a_server_with_other_fields() -> None:
    extra = {"seed": None, "max_tokens": None, "max_completion_tokens": 99}
    with chat_endpoint(lambda _: Answer.saying("42")) as endpoint:
        ask(endpoint, request(seed=7), extra=extra)
    ((_, _, body),) = endpoint.requests
    assert body["max_completion_tokens"] == 99
    assert not {"seed", "max_tokens"} & body.keys()


def test_answers_come_in_order_and_one_failure_ends_the_wait() -> None:
    silent = threading.Event()

    def reply(body: Any) -> Answer:
        said = body["messages"][-1]["content"]
        if said == "wait":
            silent.wait(10)
        return Answer("no", 400) if said == "fail" else Answer.saying(said)

    def saying(*texts: str) -> list[Request]:
        return [request([{"role": "user", "content": text}]) for text in texts]

    with chat_endpoint(reply) as endpoint:
        texts = [str(k) for k in range(9)]
        assert [one.text for one in ask(endpoint, *saying(*texts))] == texts
        assert ask(endpoint) == []
        with pytest.raises(PolicyError, match="does not take this request: 400 no"):
            ask(endpoint, *saying("wait", "fail"))
        silent.set()


def test_an_image_is_shown() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    seen: list[Message] = [CHAT[0], {**CHAT[1], "image": image}]
    with chat_endpoint(lambda _: Answer.saying("42")) as endpoint:
        ask(endpoint, request(seen))
    ((_, _, body),) = endpoint.requests
    assert body["messages"][0] == CHAT[0]
    shown, said = body["messages"][1]["content"]
    assert shown["image_url"]["url"].startswith("data:image/png;base64,")
    assert said == {"type": "text", "text": "6 * 7?"}


def test_thoughts_apart_are_no_part_of_an_action_and_none_is_an_action() -> None:
    answers = [
        Answer.saying("42", reasoning_content="Six sevens.", reasoning="Six sevens."),
        Answer.saying(None, "content_filter", refusal="I won't."),
        Answer.saying("", reasoning_content="Hm."),
        Answer.saying("So I", "length"),
        Answer.saying("half \ud800"),
    ]
    with chat_endpoint(lambda _: answers.pop(0)) as endpoint:
        said = [ask(endpoint, request())[0] for _ in range(5)]
    assert [one.text for one in said] == ["42", "", "", "So I", "half ?"]
    assert [one.finish for one in said] == [FinishReason.STOP] * 3 + [
        FinishReason.LENGTH,
        FinishReason.STOP,
    ]


@pytest.mark.parametrize(
    ("said", "finish", "text"),
    [
        ("<say>hi", "stop", "<say>hi</say>"),
        ("<say>hi</say>", "stop", "<say>hi</say>"),
        ("<say>hi", "length", "<say>hi"),
        ("hi", "stop", "hi"),
    ],
)
def test_a_stop_string_is_put_back_where_it_is_missed(said: str, finish: str, text: str) -> None:
    asked = request(form="tags", stop=("\n\n", "</say>"))
    with chat_endpoint(lambda _: Answer.saying(said, finish)) as endpoint:
        assert ask(endpoint, asked)[0].text == text


# Tools.


def test_tools_are_the_apis_own() -> None:
    with chat_endpoint(lambda _: Answer.calling(("say", '{"text": "hi"}'), text="Hm.")) as endpoint:
        asked = request(form="tool_call")
        (completion,) = ask(endpoint, asked)
        earlier = {"role": "assistant", "content": completion.text}
        ask(endpoint, request([*CHAT, earlier, {"role": "user", "content": "ho"}], "tool_call"))
    (_, _, first), (_, _, second) = endpoint.requests
    assert first["tools"] == [SAY.openai()]
    assert first["messages"] == CHAT
    parsed = action_format("tool_call").parse(completion.text, (SAY,))
    assert (parsed.calls[0].arguments, parsed.thought) == ({"text": "hi"}, "Hm.")
    call, result = second["messages"][2:]
    assert call["content"] == "Hm."
    (made,) = call["tool_calls"]
    assert made["function"] == {"name": "say", "arguments": '{"text": "hi"}'}
    assert result == {"role": "tool", "tool_call_id": made["id"], "content": "ho"}


@pytest.mark.parametrize(
    ("form", "options"),
    [("tool_call", {"tools": False}), ("tags", {}), ("plain", {}), (None, {})],
)
def test_elsewhere_text_is_all(form: str | None, options: Any) -> None:
    written = '<tool_call>\n{"name": "say", "arguments": {"text": "hi"}}\n</tool_call>'
    chat = [*CHAT, {"role": "assistant", "content": written}, CHAT[1]]
    with chat_endpoint(lambda _: Answer.saying(written)) as endpoint:
        (completion,) = ask(endpoint, request(chat, form), **options)
    ((_, _, body),) = endpoint.requests
    assert "tools" not in body
    assert body["messages"] == chat
    assert completion.text == written


@pytest.mark.parametrize(("status", "fault"), [(400, PolicyError), (404, UsageError)])
def test_a_server_without_tools(status: int, fault: type[Exception]) -> None:
    with chat_endpoint(lambda _: Answer("no tools here", status)) as endpoint:
        with pytest.raises(fault, match=r"no tools here.*pass tools=False"):
            ask(endpoint, request(form="tool_call"))
        with pytest.raises(fault) as raised:
            ask(endpoint, request(form="tags"))
    assert "tools=False" not in str(raised.value)


def test_an_episode_is_played_by_calls() -> None:
    def reply(body: Any) -> Answer:
        answered = sum(message["role"] == "tool" for message in body["messages"])
        return Answer.calling(("say", ['{"words": "hi"}', '{"wor'][answered]))

    with chat_endpoint(reply) as endpoint:
        policy = make_policy("openai:a-model", base_url=endpoint.url)
        (trajectory,) = collect(
            toy_envs.COUNTER,
            policy,
            1,
            env_kwargs={"action_format": "tool_call", "max_turns": 2},
            config=SOON,
            display=Display.OFF,
        )
    assert trajectory.error is None
    first, second = trajectory.turns
    assert (first.action_error, second.observation) == (None, "You said: hi")
    assert "not valid JSON" in (second.action_error or "")


# Failures.


def test_a_busy_server_is_waited_for_as_it_asks() -> None:
    answers = [Answer("slowly", 429, {"Retry-After": "0"}), Answer.saying("42")]
    with chat_endpoint(lambda _: answers.pop(0)) as endpoint:
        assert ask(endpoint, request())[0].text == "42"
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    ("answer", "fault", "says"),
    [
        (Answer("busy", 429, {"Retry-After": "3600"}), InfraError, "429 busy"),
        (Answer("oh", 503), InfraError, "busy or failing each time: 503"),
        (Answer("who?", 401), UsageError, "401 who.*OPENAI_API_KEY"),
        (Answer("no such model", 404), UsageError, "no such model"),
        (Answer("<html>"), PolicyError, "something else"),
    ],
)
def test_what_fails_in_the_end(answer: Answer, fault: type[Exception], says: str) -> None:
    with chat_endpoint(lambda _: answer) as endpoint, pytest.raises(fault, match=says) as raised:
        ask(endpoint, request(), retries=0)
    assert raised.type is fault


def test_a_server_that_hangs_is_the_worlds_failure_and_the_episode_is_tried_again() -> None:
    woken, asked = threading.Event(), list[Any]()

    def reply(body: Any) -> Answer:
        asked.append(body)
        if len(asked) == 1:
            woken.wait(10)
        return Answer.saying("1")

    with chat_endpoint(reply) as endpoint:
        options = {"base_url": endpoint.url, "seconds": 2, "retries": 0}
        (trajectory,) = collect(
            toy_envs.COUNTER,
            make_policy("openai:a-model", **options),
            1,
            env_kwargs={"max_turns": 2},
            config=SOON,
            display=Display.OFF,
        )
        woken.set()
    assert trajectory.attempts > 1
    assert "did not answer within 2 s" in trajectory.meta["faults"][0]
    assert trajectory.stop_reason.trainable


def test_a_key_that_is_refused_ends_it_all() -> None:
    with chat_endpoint(lambda _: Answer("who?", 401)) as endpoint:
        policy = make_policy("openai:a-model", base_url=endpoint.url)
        with pytest.raises(UsageError, match="401 who"):
            evaluate(toy_envs.COUNTER, policy, 4, config=SOON, display=Display.OFF)


def test_it_says_how_many_episodes_it_serves() -> None:
    policy = make_policy("openai:a-model", base_url="http://127.0.0.1:1/v1", at_once=3)
    assert isinstance(policy, OpenAIPolicy)
    assert policy.episodes_at_once == 3
    assert policy.template is policy.context_length is policy.wants_expert is None


@pytest.mark.parametrize("spec", ["openai", "openai:"])
def test_a_model_has_a_name(spec: str) -> None:
    with pytest.raises(UsageError, match="'model'"):
        make_policy(spec)


def test_where_it_is_when_nobody_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with chat_endpoint(lambda _: Answer.saying("42")) as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        policy = make_policy("openai:a-model")
        assert asyncio.run(policy.generate([request()]))[0].text == "42"
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert OpenAIPolicy("a-model").base_url == "https://api.openai.com/v1"


# What it costs, and the command line.


def test_it_counts_over_all_episodes() -> None:
    with chat_endpoint(lambda _: Answer.saying("1", used=(100, 2))) as endpoint:
        policy = make_policy("openai:a-model", base_url=endpoint.url, price=(0.5, 1.5))
        assert isinstance(policy, Metered)
        assert policy.usage == Usage(dollars=0.0)
        for _ in range(2):  # each with an event loop of its own
            with Collector(toy_envs.COUNTER, {"max_turns": 2}, policy, SOON) as collector:
                trajectories = collector.collect([EpisodeSpec(None, seed) for seed in range(3)])
            assert all(t.stop_reason.trainable for t in trajectories)
        sent = len(endpoint.requests)
        assert policy.usage.requests == sent
        assert policy.usage.prompt_tokens == 100 * sent
        assert policy.usage.completion_tokens == 2 * sent
        assert policy.usage.dollars == pytest.approx(sent * (50 + 3) / 1e6)


def test_eval_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"

    def reply(_: Any) -> Answer:
        return Answer.saying("Is it alive?", used=(1000, 5))

    with chat_endpoint(reply) as endpoint:
        words = ["--policy", "openai:a-model", "--base-url", endpoint.url, "--episodes", "2"]
        words += ["--policy-option", "price=[1,2]", "--policy-option", "extra.seed=null"]
        code = main(["eval", QUESTIONS, *words, "--out", str(run), "--quiet", "max_turns=3"])
    assert code is ExitCode.OK
    trajectories = list(Store.open(run))
    assert [t.stop_reason for t in trajectories] == [StopReason.TURN_LIMIT] * 2
    assert {turn.action for t in trajectories for turn in t.turns} == {"Is it alive?"}
    assert len(endpoint.requests) == 6
    assert all("seed" not in body and body["max_tokens"] == 64 for _, _, body in endpoint.requests)
    *_, requests, prompts, completions, cost = capsys.readouterr().out.splitlines()
    assert requests.split() == ["requests", "6"]
    assert prompts.split() == ["prompt", "tokens", "6,000"]
    assert completions.split() == ["completion", "tokens", "30"]
    assert cost.split() == ["cost", "$0.0061"]


@pytest.mark.integration
def test_eval_in_a_browser(tmp_path: Path) -> None:
    """The model is shown the page's text and its image, and acts by a tool call."""
    run = tmp_path / "run"

    def reply(body: Any) -> Answer:
        image, text = body["messages"][-1]["content"]
        assert image["image_url"]["url"].startswith("data:image/png;base64,")
        assert '[1] button "Click Me!"' in text["text"]
        return Answer.calling(("click", '{"element": 1}'))

    with chat_endpoint(reply) as endpoint:
        words = ["--policy", "openai:a-model", "--base-url", endpoint.url, "--episodes", "2"]
        words += ["--out", str(run), "--quiet", "screenshot=true", "action_format=tool_call"]
        assert main(["eval", "agentgym/MiniWoB-ClickTest-v0", *words]) is ExitCode.OK
    assert [trajectory.reward for trajectory in Store.open(run)] == [1.0, 1.0]


def test_a_server_that_counts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_endpoint(lambda _: Answer.saying("Is it alive?")) as endpoint:
        words = ["--policy", "openai:a-model", "--base-url", endpoint.url, "--episodes", "1"]
        words += ["--out", str(tmp_path / "run"), "--quiet", "max_turns=2"]
        assert main(["eval", QUESTIONS, *words]) is ExitCode.OK
    shown = capsys.readouterr().out
    assert "the tokens of 2 requests" in shown
    assert "cost" not in shown


@pytest.mark.parametrize("words", [["--base-url", "http://x/v1"], ["--policy-option", "tools=no"]])
def test_options_are_for_policies_that_take_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    run = tmp_path / "run"
    given = ["--policy", "random", "--episodes", "1", "--out", str(run), *words]
    assert main(["eval", toy_envs.COUNTER, *given]) is ExitCode.USAGE
    assert "unexpected keyword argument" in capsys.readouterr().err
    assert not run.exists()


def test_collect_takes_them_too(tmp_path: Path) -> None:
    with chat_endpoint(lambda _: Answer.saying("1")) as endpoint:
        words = ["--policy", "openai:a-model", "--base-url", endpoint.url, "--episodes", "1"]
        words += ["--out", str(tmp_path / "run"), "--quiet", "max_turns=2"]
        assert main(["collect", toy_envs.COUNTER, *words]) is ExitCode.OK
    assert endpoint.requests
