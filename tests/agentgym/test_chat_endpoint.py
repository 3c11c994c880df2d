"""A chat endpoint: what it is asked, what its answers mean, and who is to blame for which error."""

import asyncio
import socket
from typing import Any

import pytest
from chat_endpoints import Answer, Endpoint, chat_endpoint

from agentgym.chat_endpoint import ChatEndpoint
from agentgym.errors import AgentGymError, InfraError, PolicyError, UsageError
from agentgym.scripts import UnscriptedError

CHAT = [{"role": "user", "content": "What is 6 * 7?"}]


def ask(endpoint: Endpoint | str, **options: Any) -> str:
    url = endpoint if isinstance(endpoint, str) else endpoint.url

    async def main() -> str:
        model = ChatEndpoint(url, "a-model", **options)
        try:
            return await model.write(CHAT)
        finally:
            await model.close()
            await model.close()

    return asyncio.run(main())


def test_it_is_asked_as_openai_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with chat_endpoint(lambda _: Answer.saying("42")) as endpoint:
        assert ask(endpoint, temperature=0.5, max_tokens=9) == "42"
        assert ask(f"{endpoint.url}/", key="") == "42"
    (path, headers, body), (same_path, keyless, _) = endpoint.requests
    assert path == same_path == "/v1/chat/completions"
    assert headers["authorization"] == "Bearer secret"
    assert "secret" not in keyless["authorization"]
    assert body == {"model": "a-model", "temperature": 0.5, "max_tokens": 9, "messages": CHAT}


@pytest.mark.parametrize(
    ("answer", "fault", "says"),
    [
        (Answer("no such key", 401), UsageError, "401 no such key.*OPENAI_API_KEY"),
        (Answer("no such model", 404), UsageError, "no such model"),
        (Answer({"error": {"message": "too long"}}, 400), PolicyError, "too long"),
        (Answer("<html>hello</html>"), PolicyError, "something else: <html>"),
        (Answer({"choices": []}), PolicyError, "something else"),
        (Answer({"choices": [{"message": 3}]}), PolicyError, "something else"),
        (Answer([1]), PolicyError, "something else"),
        (Answer.saying(None), PolicyError, "something else"),
        (Answer.saying("So", "length"), UnscriptedError, "cut short.*more than 4096"),
        (Answer("busy", 429, {"Retry-After": "3600"}), InfraError, "busy or failing.*: 429 busy"),
        (Answer("oh", 500), InfraError, "busy or failing each time: 500 oh"),
    ],
)
def test_answers_that_are_none(answer: Answer, fault: type[AgentGymError], says: str) -> None:
    with chat_endpoint(lambda _: answer) as endpoint, pytest.raises(fault, match=says) as raised:
        ask(endpoint, retries=0)
    assert raised.type is fault


def test_a_busy_server_is_asked_again() -> None:
    answers = [
        Answer("slowly", 429, {"Retry-After": "0"}),
        Answer("slowly", 503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
        Answer.saying("42"),
    ]
    with chat_endpoint(lambda _: answers.pop(0)) as endpoint:
        assert ask(endpoint) == "42"
    assert len(endpoint.requests) == 3


def test_a_server_that_is_away_or_silent_is_the_worlds_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        port = silent.getsockname()[1]
        with pytest.raises(InfraError, match=r"did not answer within 0\.2 s"):
            ask(f"http://127.0.0.1:{port}/v1", seconds=0.2, retries=0)
    with pytest.raises(InfraError, match="can't be reached"):
        ask(f"http://127.0.0.1:{port}/v1", retries=1)


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://h/v1", "http://", "http://[::1", "http://h:x"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="http://127"):
        ChatEndpoint(url, "a-model")
