"""A chat endpoint: what it is asked, what its answers mean, and who is to blame for which error."""

import asyncio
import socket
import sys
import threading
from typing import Any

import pytest
from chat_endpoints import Answer, Endpoint, chat_endpoint

from agentgym.chat_endpoint import ChatEndpoint
from agentgym.errors import (
    AgentGymError,
    InfraError,
    MissingDependencyError,
    PolicyError,
    UsageError,
)
from agentgym.pace import Pace
from agentgym.scripts import UnscriptedError
from agentgym.usage import Usage

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
        (Answer("pay first", 402), UsageError, "402 pay first"),
        (Answer({"error": {"code": "insufficient_quota"}}, 429), UsageError, "insufficient_quota"),
        (Answer({"error": {"message": "too long"}}, 400), PolicyError, "too long"),
        (Answer("<html>hello</html>"), PolicyError, "something else: <html>"),
        (Answer({"choices": []}), PolicyError, "something else"),
        (Answer({"choices": [{"message": 3}]}), PolicyError, "something else"),
        (Answer([1]), PolicyError, "something else"),
        (Answer.saying(None), PolicyError, "something else"),
        (Answer.saying(["a part"]), PolicyError, "something else"),
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


def test_what_is_asked_again_keeps_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = list[float]()
    monkeypatch.setattr(Pace, "delay", lambda self, now: turns.append(now) or 0.0)
    answers = [Answer("slowly", 429, {"Retry-After": "0"}), Answer("oh", 500), Answer.saying("42")]
    with chat_endpoint(lambda _: answers.pop(0)) as endpoint:
        assert ask(endpoint, per_minute=9) == "42"
    assert len(turns) == 3


def test_no_more_requests_at_once_than_it_may() -> None:
    lock, pair = threading.Lock(), threading.Barrier(2, timeout=10)
    under_way, most = 0, 0

    def reply(_: Any) -> Answer:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        pair.wait()  # nobody is answered before two have asked
        with lock:
            under_way -= 1
        return Answer.saying("42")

    async def main(url: str) -> list[str]:
        model = ChatEndpoint(url, "a-model", at_once=2, retries=0)
        answers = await asyncio.gather(*(model.write(CHAT) for _ in range(6)))
        await model.close()
        return answers

    with chat_endpoint(reply) as endpoint:
        assert asyncio.run(main(endpoint.url)) == ["42"] * 6
    assert most == 2


@pytest.mark.parametrize(
    ("limits", "at_once"),
    [({}, 32), ({"per_minute": 10}, 10), ({"per_minute": 0.5}, 1), ({"per_minute": 600}, 32)],
)
def test_a_slow_pace_needs_few_places(limits: Any, at_once: int) -> None:
    assert ChatEndpoint("http://127.0.0.1:1/v1", "a-model", **limits).at_once == at_once


def test_one_loop_after_the_other_and_two_together() -> None:
    """As evaluations do that follow on each other, and an oracle beside the policy that plays."""
    with chat_endpoint(lambda _: Answer.saying("42")) as endpoint:
        model = ChatEndpoint(endpoint.url, "a-model", retries=0)
        for _ in range(2):  # connections that a loop left behind are nobody else's
            assert asyncio.run(model.write(CHAT)) == "42"

        async def main() -> list[str]:
            other = asyncio.to_thread(lambda: asyncio.run(model.write(CHAT)))
            answers = await asyncio.gather(model.write(CHAT), other, model.write(CHAT))
            await model.close()
            return answers

        assert asyncio.run(main()) == ["42"] * 3
        assert model.usage.requests == 5


def test_extra_fields_win_and_none_leaves_one_out() -> None:
    extra = {"temperature": None, "max_tokens": None, "max_completion_tokens": 7, "top_k": -1}
    with chat_endpoint(lambda _: Answer.saying("42")) as endpoint:
        assert ask(endpoint, extra=extra) == "42"
    ((_, _, body),) = endpoint.requests
    assert body == {
        "model": "a-model",
        "messages": CHAT,
        "max_completion_tokens": 7,
        "top_k": -1,
    }


def test_what_was_paid_for_is_counted_though_it_is_of_no_use() -> None:
    answers = [Answer.saying("So", "length", used=(10, 5)), Answer.saying("42"), Answer("no", 400)]

    async def main(url: str) -> Usage:
        model = ChatEndpoint(url, "a-model", price=(1, 2))
        with pytest.raises(UnscriptedError):
            await model.write(CHAT)
        await model.write(CHAT)
        with pytest.raises(PolicyError):
            await model.write(CHAT)
        await model.close()
        return model.usage

    with chat_endpoint(lambda _: answers.pop(0)) as endpoint:
        assert asyncio.run(main(endpoint.url)) == Usage(2, 10, 5, unmetered=1, dollars=20e-6)


def test_a_server_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never silent for long, so that the client alone would wait for ever."""
    monkeypatch.setattr("agentgym.chat_endpoint._LONGEST_PAUSE", 0.0)
    done = threading.Event()

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not done.wait(0.05):
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=[server])
        thread.start()
        try:
            with pytest.raises(InfraError, match=r"did not finish its answer in 0\.5 s"):
                ask(f"http://127.0.0.1:{server.getsockname()[1]}/v1", seconds=0.5, retries=0)
        finally:
            done.set()
            thread.join(10)


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


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"seconds": 0}, "seconds must be a number above 0"),
        ({"seconds": "soon"}, "seconds must be a number above 0"),
        ({"retries": -1}, "retries must be a whole number of 0 or more"),
        ({"at_once": 0}, "at_once must be a whole number of 1 or more"),
        ({"at_once": 1.5}, "at_once must be a whole number"),
        ({"per_minute": 0}, "per_minute must be a number above 0"),
        ({"per_minute": "10"}, "per_minute must be a number above 0"),
        ({"extra": ["seed"]}, "extra must name fields"),
        ({"price": 3}, "two numbers, in dollars"),
    ],
)
def test_options_that_make_no_sense(options: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ChatEndpoint("http://127.0.0.1:1/v1", "a-model", **options)


def test_without_the_client_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingDependencyError, match=r"agentgym-suite\[openai\]"):
        ChatEndpoint("http://127.0.0.1:1/v1", "a-model")
