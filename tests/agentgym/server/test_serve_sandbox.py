"""The server as a user runs it: a process, real sockets, real sandboxes."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from leavings import descendants
from prometheus_client.parser import text_string_to_metric_families
from sandbox_servers import PROGRAM, TOKEN, SandboxServer, sandbox_server

from agentgym.cli import ExitCode, main

pytestmark = pytest.mark.integration

SLEEPY = {"code": "import time; time.sleep(50)", "wall_seconds": 50}


@pytest.fixture(scope="module")
def served() -> Iterator[SandboxServer]:
    with sandbox_server("--concurrency", "2", "--queue", "1", "queue_seconds=20") as server:
        yield server


@pytest.fixture
def asked(served: SandboxServer) -> Iterator[httpx.Client]:
    with served.client() as client:
        yield client


def figures(client: httpx.Client) -> dict[str, float]:
    """Return the values of the metrics by name, and by outcome where they have one."""
    return {
        sample.labels.get("outcome", sample.name): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if not sample.name.endswith("_created") and sample.labels.keys() <= {"outcome"}
    }


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_code_runs_in_a_box(asked: httpx.Client) -> None:
    told = asked.post("/v1/exec", json={"code": "print(6 * 7)"}).json()
    assert (told["stdout"], told["isolation"]) == ("42\n", "bubblewrap")
    told = asked.post("/v1/exec", json={"code": "6 * 7", "stateful": True}).json()
    assert told["value"] == "42"


def test_a_limit_is_a_result(asked: httpx.Client) -> None:
    answer = asked.post("/v1/exec", json={"code": "while True: pass", "wall_seconds": 0.2})
    assert (answer.status_code, answer.json()["limit"]) == (200, "wall_seconds")


def test_run_code_runs(asked: httpx.Client) -> None:
    body = {"code": "cat; cp a b; exit 3", "language": "bash", "stdin": "hello"}
    told = asked.post("/run_code", json=body | {"files": {"a": "eA=="}, "fetch_files": ["b"]})
    assert told.json()["status"] == "Failed"
    assert told.json()["files"] == {"b": "eA=="}
    run = told.json()["run_result"]
    assert (run["status"], run["return_code"], run["stdout"]) == ("Finished", 3, "hello")
    body = {"code": "while True: pass", "language": "python", "run_timeout": 0.2}
    told = asked.post("/run_code", json=body).json()
    assert (told["status"], told["run_result"]["status"]) == ("Failed", "TimeLimitExceeded")
    assert told["run_result"]["return_code"] is None


def test_what_a_client_no_longer_waits_for_is_ended(
    served: SandboxServer, asked: httpx.Client
) -> None:
    opened = asked.post("/v1/boxes", json={}).json()["id"]
    before = figures(asked).get("abandoned", 0)
    for path in ("/v1/exec", f"/v1/boxes/{opened}/exec"):
        with hanging(served, path):
            until(lambda: figures(asked)["agentgym_running"] == 1, "it runs")
        until(lambda: figures(asked)["agentgym_running"] == 0, "it ends")
    assert figures(asked)["abandoned"] == before + 2
    assert figures(asked)["agentgym_boxes_open"] == 0


@contextmanager
def hanging(served: SandboxServer, path: str) -> Iterator[None]:
    """Ask for a long run, and hang up at the end of the block."""
    host, port = served.url.removeprefix("http://").split(":")
    body = json.dumps(SLEEPY)
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n"
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), 20) as connection:
        connection.sendall((head + kind + body).encode())
        yield


def test_beyond_the_queue_a_client_is_told_to_come_back(
    served: SandboxServer, asked: httpx.Client
) -> None:
    boxes = [asked.post("/v1/boxes", json={}).json()["id"] for _ in range(2)]
    with ThreadPoolExecutor(3) as threads:
        for box in boxes:
            threads.submit(asked.post, f"/v1/boxes/{box}/exec", json=SLEEPY)
        until(lambda: figures(asked)["agentgym_running"] == 2, "two run")
        waiting = threads.submit(asked.post, "/v1/exec", json={"code": "print(1)"})
        until(lambda: figures(asked)["agentgym_queue_length"] == 1, "one waits")
        refused = asked.post("/v1/exec", json={"code": "1"})
        assert (refused.status_code, refused.json()["error"]["kind"]) == (429, "busy")
        assert int(refused.headers["retry-after"]) >= 1
        refused = asked.post("/run_code", json={"code": "1", "language": "python"})
        assert (refused.status_code, refused.json()["status"]) == (504, "SandboxError")
        # Closing needs no turn, so that what hangs can be ended.
        for box in boxes:
            assert asked.delete(f"/v1/boxes/{box}").status_code == 204
        assert waiting.result(30).json()["stdout"] == "1\n"


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGTERM, ExitCode.OK, ""),
        (signal.SIGINT, ExitCode.INTERRUPTED, "agentgym: interrupted"),
    ],
)
def test_nothing_is_left_when_it_stops(number: signal.Signals, code: ExitCode, said: str) -> None:
    with (
        sandbox_server("grace_seconds=0.1", "--concurrency", "1") as server,
        server.client() as asked,
        ThreadPoolExecutor(2) as threads,
    ):
        asked.post("/v1/boxes", json={})
        running = threads.submit(asked.post, "/v1/exec", json=SLEEPY)
        until(lambda: figures(asked)["agentgym_running"] == 1, "one runs")
        waiting = threads.submit(asked.post, "/v1/exec", json=SLEEPY)
        until(lambda: figures(asked)["agentgym_queue_length"] == 1, "one waits")
        children = descendants(server.process.pid)
        assert len(children) >= 3  # bubblewrap, the zygote, the boxes' keepers
        server.process.send_signal(number)
        # Whoever still waits is told.
        assert running.result(30).json()["error"]["kind"] == "infra"
        assert waiting.result(30).json()["error"]["kind"] == "busy"
        assert server.process.wait(30) == code
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "all end")
        assert server.said().strip() == said


def test_what_runs_is_left_its_time_when_the_server_stops() -> None:
    with (
        sandbox_server("grace_seconds=30") as server,
        server.client() as asked,
        ThreadPoolExecutor(1) as thread,
    ):
        short = {"code": "import time; time.sleep(0.5); print(1)"}
        running = thread.submit(asked.post, "/v1/exec", json=short)
        until(lambda: figures(asked)["agentgym_running"] == 1, "it runs")
        server.process.send_signal(signal.SIGTERM)
        assert running.result(30).json()["stdout"] == "1\n"
        assert server.process.wait(20) == ExitCode.OK


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "AGENTGYM_TOKEN"),
        (["--host", "0.0.0.0", "--no-auth"], "--no-auth is for 127.0.0.1 only"),
        (["--backend", "bublewrap"], "did you mean 'bubblewrap'"),
        (["--backend", "local"], "allow_unsafe=True"),
        (["most.memory_gb=1"], "did you mean 'most.memory_mb'"),
        (["--concurrency", "0"], "concurrency"),
        (["options.snake=1"], "'snake' is not a key"),
    ],
)
def test_a_server_that_can_t_be_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AGENTGYM_TOKEN", raising=False)
    assert main(["serve", "sandbox", "--port", "0", *words]) == ExitCode.USAGE
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "sandbox", "--port", port]) == ExitCode.USAGE
    assert f"127.0.0.1:{port} can't be listened at" in capsys.readouterr().err


def test_a_new_token_is_printed_and_no_token_is_said() -> None:
    with sandbox_server(token=None) as server:
        assert server.process.stdout is not None
        token = server.process.stdout.readline().removeprefix("Token: ").strip()
        for given, status in ((token, 200), ("", 401)):
            with server.client(given) as asked:
                assert asked.post("/v1/exec", json={"code": ""}).status_code == status
    with sandbox_server("--no-auth") as server, server.client(None) as asked:
        assert server.process.stdout is not None
        assert server.process.stdout.readline().startswith("No token is asked for")
        assert asked.post("/v1/exec", json={"code": ""}).status_code == 200
        refused = asked.post("/v1/exec", json={"code": ""}, headers={"Host": "evil.example"})
        assert refused.status_code == 400


def test_a_body_that_doesn_t_come_is_not_waited_for() -> None:
    with sandbox_server("transfer_seconds=0.2") as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 20) as connection:
            head = f"POST /v1/exec HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            kind = "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
            connection.sendall((head + kind).encode())
            assert b" 408 " in connection.recv(4096).partition(b"\r\n")[0]


def test_the_extra_that_is_missing_is_named() -> None:
    source = f"import sys; sys.modules['fastapi'] = None\n{PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-c", source, "serve", "sandbox"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == ExitCode.USAGE
    assert "pip install 'agentgym-suite[serve]'" in done.stderr
