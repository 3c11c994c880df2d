"""What is remote's own: a server that is away, busy or not ours; async; boxes that are gone."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from engines import Engine
from sandbox_servers import TOKEN, SandboxServer, sandbox_server
from websites import website

from agentgym.errors import AgentGymError, DataError, InfraError, UsageError
from agentgym.sandbox import Sandbox, make_sandbox
from agentgym.sandboxes.lender import Lender, Patience


@pytest.fixture(scope="module")
def served() -> Iterator[SandboxServer]:
    with sandbox_server("--boxes", "200", "--idle-seconds", "60") as server:
        yield server


def remote(server: SandboxServer, **options: object) -> Sandbox:
    return make_sandbox("remote", url=server.url, token=TOKEN, **options)


# Without a server.


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://x"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="url=http://127"):
        make_sandbox("remote", url=url)


def test_a_server_that_is_away_is_an_infra_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    box = make_sandbox("remote", url=url, token="x")
    for use in (lambda: box.exec("1"), lambda: box.put("a", ""), lambda: asyncio.run(aexec(box))):
        with pytest.raises(InfraError, match=f"{url} can't be reached"):
            use()
    box.close()


async def aexec(box: Sandbox) -> str:
    return (await box.aexec("print(1)")).stdout


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (httpx.Response(502, text="<html>\n Bad Gateway"), InfraError, "502: <html> Bad Gateway"),
        (httpx.Response(404, json={"detail": "Not Found"}), InfraError, "404"),
        (httpx.Response(500, json={"error": {"kind": "new", "message": "m"}}), InfraError, "500"),
        (httpx.Response(500, json={"error": {"kind": "infra", "message": "m"}}), InfraError, "m"),
        (httpx.Response(404, json={"error": {"kind": "gone", "message": "m"}}), InfraError, "m"),
        (httpx.Response(429, json={"error": {"kind": "busy", "message": "m"}}), InfraError, "m"),
        (httpx.Response(422, json={"error": {"kind": "request", "message": "m"}}), UsageError, "m"),
        (httpx.Response(409, json={"error": {"kind": "data", "message": "m"}}), DataError, "m"),
        (
            httpx.Response(401, json={"error": {"kind": "token", "message": "m"}}),
            UsageError,
            "TOKEN",
        ),
    ],
)
def test_who_is_at_fault(answer: httpx.Response, kind: type[AgentGymError], said: str) -> None:
    with pytest.raises(kind, match=said) as caught:
        Lender("http://x", None).checked(answer)
    assert isinstance(caught.value, UsageError) == issubclass(kind, UsageError)


@pytest.mark.parametrize(
    ("status", "headers", "again"),
    [
        (429, {"Retry-After": "1"}, True),
        (503, {"Retry-After": "2"}, True),
        (429, {}, False),
        (503, {}, False),
        (500, {"Retry-After": "1"}, False),
        (429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, False),
        (200, {}, False),
    ],
)
def test_only_what_has_not_run_is_asked_for_again(
    status: int, headers: dict[str, str], again: bool
) -> None:
    delay = Patience(100).delay(httpx.Response(status, headers=headers))
    assert (delay is not None) == again
    if delay is not None:
        assert delay >= int(headers["Retry-After"])


def test_patience_ends() -> None:
    busy = httpx.Response(429, headers={"Retry-After": "1"})
    assert Patience(0).delay(busy) is None


# With one.


@pytest.mark.integration
def test_a_result_says_where_it_ran(served: SandboxServer) -> None:
    with remote(served) as box:
        assert box.exec("1").isolation == "remote: bubblewrap"
    unsafe = sandbox_server("--backend", "local", "options.allow_unsafe=true")
    with unsafe as server, remote(server) as box:
        assert box.exec("1").isolation == "none"


@pytest.mark.integration
def test_a_session_has_its_values_and_figures(served: SandboxServer) -> None:
    with remote(served, stateful=True) as box:
        box.exec("x = 41")
        assert box.exec("x + 1").value == "42"
        told = box.exec("print(1); raise SystemExit(3)")
        assert (told.stdout, told.exit_code) == ("1\n", 3)


@pytest.mark.integration
def test_the_spec_says_what_was_granted(served: SandboxServer) -> None:
    with remote(served, memory_mb=1 << 20, wall_seconds=5) as box:
        box.exec("")
        assert (box.spec.memory_mb, box.spec.wall_seconds) == (2048, 5)


@pytest.mark.integration
def test_a_wrong_token_is_the_caller_s_fault(served: SandboxServer) -> None:
    box = make_sandbox("remote", url=served.url, token="wrong")
    with pytest.raises(UsageError, match="AGENTGYM_TOKEN"):
        box.exec("1")


@pytest.mark.integration
def test_what_a_server_doesn_t_lend_is_the_caller_s_fault(served: SandboxServer) -> None:
    with remote(served, image="/") as box, pytest.raises(UsageError, match="image"):
        box.exec("1")


@pytest.mark.integration
def test_a_box_reaches_nothing_that_its_server_does_not_allow(served: SandboxServer) -> None:
    with remote(served, network=["a.org"]) as box, pytest.raises(UsageError, match="reach none"):
        box.exec("1")


@pytest.mark.integration
@pytest.mark.parametrize(
    "backend", ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)]
)
def test_a_box_reaches_what_its_server_allows(backend: str, request: pytest.FixtureRequest) -> None:
    words = ["--backend", backend]
    if backend == "docker":
        engine: Engine = request.getfixturevalue("engine")
        words += [f"image={engine.image}", f"options.engine={engine.url}", "options.keep=0"]
    with website() as site:
        network = [f"localhost:{site.port}"]
        source = "import urllib.request as r\nr.urlopen('http://localhost:{}', timeout=5).status"
        with (
            sandbox_server(*words, f"network={json.dumps(network)}") as server,
            remote(server, network=network, stateful=True) as box,
        ):
            assert box.exec(source.format(site.port)).value == "200"
            refused = box.exec(source.format(site.port + 1))
            assert f"403: localhost:{site.port + 1} is not on the list" in refused.stderr
            assert refused.isolation == f"remote: {backend}"


@pytest.mark.integration
def test_a_model_s_text_need_not_be_unicode(served: SandboxServer) -> None:
    with remote(served) as box:
        assert box.exec("print('a\ud800')").stdout == "a?\n"
        assert box.exec(["echo", "\udc80"]).stdout == "?\n"


@pytest.mark.integration
def test_a_box_that_the_server_closed_is_an_infra_error() -> None:
    with sandbox_server("--idle-seconds", "0.05") as server, remote(server) as box:
        box.exec("1")
        until_told(server, "agentgym_boxes_open 0.0")
        with pytest.raises(InfraError, match="no such box"):
            box.exec("1")


@pytest.mark.integration
def test_a_busy_server_is_asked_again(busy: SandboxServer) -> None:
    with remote(busy) as box:
        with occupied(busy, seconds=1):
            assert box.exec("print(1)").stdout == "1\n"
        with occupied(busy, seconds=30):
            impatient = remote(busy, busy_seconds=0)
            with pytest.raises(InfraError, match="wait for a turn"):
                impatient.exec("1")


@pytest.fixture
def busy() -> Iterator[SandboxServer]:
    with sandbox_server("--concurrency", "1", "--queue", "0") as server:
        yield server


@contextmanager
def occupied(server: SandboxServer, seconds: float) -> Iterator[None]:
    """Have the one turn of a server for so long, or to the end of the block."""
    with remote(server, wall_seconds=60) as box, ThreadPoolExecutor(1) as thread:
        box.exec("")
        running = thread.submit(box.exec, f"import time; time.sleep({seconds})")
        until_told(server, "agentgym_running 1.0")
        try:
            yield
        finally:
            box.close()
            running.exception(30)


def until_told(server: SandboxServer, line: str) -> None:
    deadline = time.monotonic() + 20
    with server.client() as asked:
        while line not in asked.get("/metrics").text:
            assert time.monotonic() < deadline, line
            time.sleep(0.02)


@pytest.mark.integration
def test_many_episodes_on_one_loop(served: SandboxServer) -> None:
    async def episode(number: int) -> str:
        async with remote(served, stateful=True) as box:
            await box.aexec(f"x = {number}")
            return (await box.aexec("x")).value or ""

    async def main() -> list[str]:
        return await asyncio.gather(*map(episode, range(64)))

    assert asyncio.run(main()) == [str(number) for number in range(64)]
    with served.client() as asked:
        assert "agentgym_boxes_open 0.0" in asked.get("/metrics").text


@pytest.mark.integration
def test_one_box_serves_both_forms_and_several_loops(served: SandboxServer) -> None:
    with remote(served) as box:
        box.put("a", "1")
        for _ in range(2):
            assert asyncio.run(aexec(box)) == "1\n"
        assert box.get("a") == b"1"


@pytest.mark.integration
def test_what_is_cancelled_ends_on_the_server(served: SandboxServer) -> None:
    async def main() -> None:
        async with remote(served, wall_seconds=50) as box:
            await box.aexec("1")
            running = asyncio.create_task(box.aexec("import time; time.sleep(50)"))
            await asyncio.sleep(0.2)
            running.cancel()
            await asyncio.wait({running})
            with pytest.raises(InfraError):
                await box.aexec("1")

    asyncio.run(main())
    with served.client() as asked:
        assert "agentgym_boxes_open 0.0" in asked.get("/metrics").text


def test_delays_differ_between_boxes() -> None:
    busy = httpx.Response(429, headers={"Retry-After": "1"})
    assert len({Patience(100).delay(busy) for _ in range(8)}) == 8
