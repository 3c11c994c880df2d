"""The routes, over sandboxes that run nothing."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from fake_sandboxes import FakeBackend
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from agentgym.config import load
from agentgym.errors import ConfigError
from agentgym.server import boxes
from agentgym.server.config import SandboxServerConfig
from agentgym.server.sandbox_app import sandbox_app
from agentgym.server.serving import only_from_here

TOKEN = "right"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    fake = FakeBackend()
    monkeypatch.setattr(boxes, "make_sandbox", fake)
    return fake


def client(**settings: Any) -> TestClient:
    app = sandbox_app(SandboxServerConfig(**settings), TOKEN, "fake").asgi
    return TestClient(app, headers=BEARER, raise_server_exceptions=False)


@pytest.fixture
def asked(backend: FakeBackend) -> Iterator[TestClient]:
    with client() as made:
        yield made


def error(answer: Any) -> tuple[int, str, str]:
    told = answer.json()["error"]
    return answer.status_code, told["kind"], told["message"]


# Who may ask.


ROUTES = [
    ("POST", "/v1/exec"),
    ("POST", "/v1/boxes"),
    ("POST", "/v1/boxes/x/exec"),
    ("PUT", "/v1/boxes/x/files?path=a"),
    ("GET", "/v1/boxes/x/files?path=a"),
    ("DELETE", "/v1/boxes/x"),
    ("POST", "/run_code"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer wrong", "Bearer right2", "Basic ?", "Basic cmlnaHQ=", "right"],
)
def test_without_the_token_nothing_is_answered(
    method: str, path: str, header: str, asked: TestClient, backend: FakeBackend
) -> None:
    answer = asked.request(method, path, headers={"Authorization": header}, json={"code": "1"})
    assert error(answer)[:2] == (401, "token")
    assert "www-authenticate" in answer.headers
    assert backend.made == []


def test_the_token_comes_as_bearer_or_as_a_password(asked: TestClient) -> None:
    assert asked.post("/v1/exec", json={"code": "1"}).status_code == 200
    basic = {"Authorization": "Basic " + base64.b64encode(b"anybody:right").decode()}
    assert asked.post("/v1/exec", json={"code": "1"}, headers=basic).status_code == 200


def test_health_needs_no_token(asked: TestClient) -> None:
    told = asked.get("/health", headers={"Authorization": ""}).json()
    assert (told["status"], told["isolation"]) == ("ok", "fake")


@pytest.mark.parametrize(
    ("host", "status"), [("localhost", 200), ("127.0.0.1:1", 200), ("evil.example", 400)]
)
def test_without_a_token_only_this_machine_s_names_are_answered(host: str, status: int) -> None:
    app = only_from_here(sandbox_app(SandboxServerConfig(), None, "fake").asgi, "127.0.0.1")
    with TestClient(app) as asked:
        assert asked.get("/health", headers={"Host": host}).status_code == status


# What is asked.


def test_an_exec_passes_what_was_asked(asked: TestClient, backend: FakeBackend) -> None:
    body = {"code": "c", "stdin": "in", "wall_seconds": 2, "memory_mb": 99, "files": {"a": "b"}}
    told = asked.post("/v1/exec", json=body | {"files_out": ["a", "none"]}).json()
    assert told["stdout"] == "c|in|2"
    assert told["files"] == {"a": {"base64": "Yg=="}}
    (box,) = backend.made
    assert (box.spec.memory_mb, box.closed.is_set()) == (99, True)


def test_a_box_lives_until_it_is_closed(asked: TestClient, backend: FakeBackend) -> None:
    opened = asked.post("/v1/boxes", json={"stateful": True})
    assert opened.status_code == 201
    path = f"/v1/boxes/{opened.json()['id']}"
    assert asked.put(f"{path}/files?path=a/b", content=b"\x00\xff").status_code == 204
    assert asked.get(f"{path}/files?path=a/b").content == b"\x00\xff"
    told = asked.post(f"{path}/exec", json={"code": ["x", "y"], "wall_seconds": 3}).json()
    assert told["stdout"] == "x y||3"
    assert error(asked.get(f"{path}/files?path=none"))[:2] == (409, "data")
    assert error(asked.get(f"{path}/files?path=a/b&most_bytes=1"))[:2] == (409, "data")
    assert not backend.made[0].closed.is_set()
    assert asked.delete(path).status_code == 204
    assert backend.made[0].closed.is_set()
    assert error(asked.post(f"{path}/exec", json={"code": "1"}))[:2] == (404, "gone")
    assert error(asked.delete(path))[:2] == (404, "gone")


MALFORMED: list[tuple[str, str, Any, str]] = [
    ("POST", "/v1/exec", {}, "code: "),
    ("POST", "/v1/exec", {"code": "1", "wall_secs": 1}, "wall_secs: "),
    ("POST", "/v1/exec", {"code": "1", "memory_mb": 1}, "memory_mb: "),
    ("POST", "/v1/exec", {"code": "1", "files": {"a": {"base64": "?"}}}, "files.a: "),
    ("POST", "/v1/exec", {"code": "1", "files_out": ["a"] * 65}, "files_out: "),
    ("POST", "/v1/exec", ["code"], "the body: "),
    ("POST", "/v1/boxes", {"disk_mb": "much"}, "disk_mb: "),
    ("POST", "/v1/boxes/x/exec", {"code": 1}, "code."),
    ("POST", "/v1/boxes/x/exec", {"code": "1", "wall_seconds": 0}, "wall_seconds: "),
    ("PUT", "/v1/boxes/x/files", None, "path: "),
    ("GET", "/v1/boxes/x/files?path=", None, "path: "),
    ("GET", "/v1/boxes/x/files?path=a&most_bytes=z", None, "most_bytes: "),
]


@pytest.mark.parametrize(("method", "path", "body", "named"), MALFORMED)
def test_a_malformed_request_is_told_which_field(
    method: str, path: str, body: Any, named: str, asked: TestClient, backend: FakeBackend
) -> None:
    status, kind, message = error(asked.request(method, path, json=body))
    assert (status, kind) == (422, "request")
    assert message.startswith(named)
    assert backend.made == []


def test_what_is_no_json_is_told_so(asked: TestClient) -> None:
    for content, kind in (("{", "application/json"), ('{"code": "1"}', "text/plain")):
        answer = asked.post("/v1/exec", content=content, headers={"Content-Type": kind})
        assert error(answer)[2].startswith("the body: ")


def test_paths_and_methods_that_are_none(asked: TestClient) -> None:
    assert error(asked.get("/v2/exec"))[:2] == (404, "request")
    assert error(asked.get("/v1/exec"))[:2] == (405, "request")
    assert error(asked.delete("/v1/boxes/x"))[:2] == (404, "gone")
    assert asked.get("/metrics").text.count('route="other"') > 0


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"image": "/"}, "image"),
        ({"modules": ["numpy"]}, r"modules=[numpy]"),
        ({"network": ["pypi.org", "*.a.org"]}, "reach none, and not pypi.org, *.a.org"),
        ({"network": ["pypi.org", "*.a.org"]}, """'network=["pypi.org", "*.a.org"]'"""),
        ({"language": "cobol"}, "'cobol'"),
    ],
)
def test_what_can_t_be_done_as_asked_is_said(
    body: dict[str, Any], named: str, asked: TestClient
) -> None:
    status, kind, message = error(asked.post("/v1/exec", json={"code": "1"} | body))
    assert (status, kind) == (400, "request")
    assert named in message


# Bounds.


def test_a_request_gets_no_more_than_the_most(backend: FakeBackend) -> None:
    most = {"wall_seconds": 3, "memory_mb": 64, "processes": 2, "output_bytes": 10}
    greedy = {"wall_seconds": 999, "memory_mb": 9999, "processes": 999, "output_bytes": 1 << 30}
    with client(most=most, modules=["numpy"]) as asked:
        told = asked.post("/v1/exec", json={"code": "c"} | greedy).json()
        opened = asked.post("/v1/boxes", json=greedy).json()
        path = f"/v1/boxes/{opened['id']}/exec"
        again = asked.post(path, json={"code": "c", "wall_seconds": 999}).json()
    assert (told["stdout"], again["stdout"]) == ("c||3", "c||3")
    assert most.items() <= opened["limits"].items()
    for box in backend.made:
        assert most.items() <= dict(box.spec).items()
        assert box.spec.modules == ("numpy",)


def test_a_request_reaches_no_more_than_the_server_allows(backend: FakeBackend) -> None:
    with client(network=["*.example.org", "10.0.0.1:8080"]) as asked:
        within = {"code": "c", "network": ["www.example.org:443", "10.0.0.1:8080"]}
        assert asked.post("/v1/exec", json=within).status_code == 200
        assert asked.post("/v1/exec", json={"code": "c"}).status_code == 200
        beyond = {"code": "c", "network": ["www.example.org", "10.0.0.1"]}
        status, kind, message = error(asked.post("/v1/exec", json=beyond))
        assert (status, kind) == (400, "request")
        assert "reach *.example.org, 10.0.0.1:8080, and not 10.0.0.1;" in message
        wrong = {"code": "c", "network": ["http://example.org"]}
        status, kind, message = error(asked.post("/v1/exec", json=wrong))
        assert (status, kind) == (422, "request")
        assert "network: 'http://example.org' is no host" in message
    # What a request doesn't ask for it doesn't get.
    assert [box.spec.network for box in backend.made] == [tuple(within["network"]), ()]


def test_a_server_s_own_list_is_checked() -> None:
    with pytest.raises(ConfigError, match="network: 'x y' is no host"):
        load(SandboxServerConfig, overrides=["network=[x y]"])


def test_a_body_that_is_too_large_is_refused(backend: FakeBackend) -> None:
    with client(request_bytes=1024) as asked:
        large = {"code": "1" * 2000}
        assert error(asked.post("/v1/exec", json=large))[:2] == (413, "request")
        # One that doesn't say how large it is, is refused once it is too large.
        parts = (b" " * 100 for _ in range(20))
        headers = {"Content-Type": "application/json"}
        answer = asked.post("/v1/exec", content=parts, headers=headers)
        assert error(answer)[:2] == (413, "request")
    assert backend.made == []


def test_files_in_an_answer_are_bounded_together(backend: FakeBackend) -> None:
    files = {"a": "x" * 60, "b": "x" * 60, "c": "x" * 40}
    with client(file_bytes=100) as asked:
        body = {"code": "1", "files": files, "files_out": list(files)}
        assert list(asked.post("/v1/exec", json=body).json()["files"]) == ["a", "c"]


def test_open_boxes_are_bounded(backend: FakeBackend) -> None:
    with client(boxes=1) as asked:
        first = asked.post("/v1/boxes", json={}).json()["id"]
        refused = asked.post("/v1/boxes", json={})
        assert error(refused)[:2] == (429, "busy")
        assert int(refused.headers["retry-after"]) >= 1
        asked.delete(f"/v1/boxes/{first}")
        assert asked.post("/v1/boxes", json={}).status_code == 201


def test_an_idle_box_is_closed(backend: FakeBackend) -> None:
    with client(idle_seconds=0.05) as asked:
        opened = asked.post("/v1/boxes", json={}).json()["id"]
        assert backend.made[0].closed.wait(10)
        gone = asked.post(f"/v1/boxes/{opened}/exec", json={"code": "1"})
        assert error(gone)[:2] == (404, "gone")


def test_what_is_open_is_closed_when_the_server_stops(backend: FakeBackend) -> None:
    with client() as asked:
        for _ in range(3):
            asked.post("/v1/boxes", json={})
        assert not any(box.closed.is_set() for box in backend.made)
    assert all(box.closed.is_set() for box in backend.made)


# Faults.


def test_a_sandbox_that_fails_is_a_5xx_and_its_box_is_gone(
    asked: TestClient, backend: FakeBackend
) -> None:
    assert error(asked.post("/v1/exec", json={"code": "die"}))[:2] == (500, "infra")
    opened = asked.post("/v1/boxes", json={}).json()["id"]
    path = f"/v1/boxes/{opened}/exec"
    assert error(asked.post(path, json={"code": "die"}))[:2] == (500, "infra")
    assert error(asked.post(path, json={"code": "1"}))[:2] == (404, "gone")
    assert all(box.closed.is_set() for box in backend.made)


def test_figures_can_be_read_by_prometheus(asked: TestClient) -> None:
    asked.post("/v1/exec", json={"code": "1"})
    asked.post("/v1/exec", json={"code": "die"})
    asked.post("/v1/boxes", json={})
    answer = asked.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["agentgym_requests_total", "/v1/exec", "200", "POST"] == 1
    assert samples["agentgym_requests_total", "/v1/exec", "500", "POST"] == 1
    assert samples["agentgym_execs_total", "ok"] == 1
    assert samples["agentgym_execs_total", "infra"] == 1
    assert samples["agentgym_boxes_open",] == 1
    assert samples["agentgym_queue_length",] == 0
    assert samples["agentgym_exec_seconds_count",] == 1
    assert samples["agentgym_request_seconds_count", "/v1/exec"] == 2


# SandboxFusion.


def test_run_code_answers_as_sandbox_fusion_does(asked: TestClient, backend: FakeBackend) -> None:
    # What verl sends, key by key.
    body = {
        "compile_timeout": 10,
        "run_timeout": 7,
        "memory_limit_MB": 1024,
        "code": "c",
        "stdin": "in",
        "language": "python",
        "files": {"a": "Yg==", "skipped": None},
        "fetch_files": ["a", "none"],
    }
    told = asked.post("/run_code", json=body).json()
    seconds = told["run_result"].pop("execution_time")
    assert seconds > 0
    assert told == {
        "status": "Success",
        "message": "",
        "compile_result": None,
        "run_result": {
            "status": "Finished",
            "return_code": 0,
            "stdout": "c|in|7",
            "stderr": "",
        },
        "executor_pod_name": None,
        "files": {"a": "Yg=="},
    }
    spec = backend.made[0].spec
    assert (spec.memory_mb, spec.cpu_seconds, spec.wall_seconds) == (1024, 7, 7)


def test_run_code_runs_bash(asked: TestClient) -> None:
    told = asked.post("/run_code", json={"code": "ls", "language": "bash"}).json()
    assert told["run_result"]["stdout"] == "bash -c ls||10"


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({"code": "1", "language": "cpp"}, 200, "language: there is no 'cpp'"),
        ({"code": "1", "language": "python", "files": {"a": "?"}}, 200, "files.a: "),
        ({"code": "die", "language": "python"}, 200, "The sandbox has died"),
        ({"language": "python"}, 422, "code: "),
        ({"code": "1", "language": "python", "run_timeout": 0}, 422, "run_timeout: "),
        (["code"], 422, "the body: "),
    ],
)
def test_run_code_tells_errors_in_its_own_shape(
    body: Any, status: int, named: str, asked: TestClient
) -> None:
    answer = asked.post("/run_code", json=body)
    told = answer.json()
    assert (answer.status_code, told["status"]) == (status, "SandboxError")
    assert told["message"].startswith(named)
    assert (told["run_result"], told["files"]) == (None, {})
