"""Every backend keeps the promises of a sandbox."""

from collections.abc import Iterator
from typing import Any

import pytest
from engines import Engine
from sandbox_servers import TOKEN, sandbox_server

from agentgym.sandbox_check import ISOLATION_RULES, RULES, check_sandbox_rule

DOCKER = pytest.param("docker", marks=pytest.mark.docker)
ISOLATED = ("bubblewrap", DOCKER, "remote")

# It has no way for the host's sockets to come in, and counts processes by threads of its own.
NOT_OF_GVISOR = ("hosts", "processes")


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, str]]:
    """Where `remote` finds a server, which lends boxes of bubblewrap's."""
    with sandbox_server('network=["192.0.2.0", "192.0.2.2"]') as server:
        yield {"url": server.url, "token": TOKEN}


@pytest.fixture
def options(backend: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    if backend == "docker":
        return request.getfixturevalue("engine").options
    if backend == "remote":
        return request.getfixturevalue("served")
    return {"allow_unsafe": True} if backend == "local" else {}


@pytest.mark.integration
@pytest.mark.parametrize("backend", [*ISOLATED, "local"])
@pytest.mark.parametrize("rule", RULES)
def test_what_every_sandbox_promises(rule: str, backend: str, options: dict[str, Any]) -> None:
    result = check_sandbox_rule(rule, backend, **options)
    assert result.passed, result.detail
    # A rule is kept, too, by refusing a list of hosts, which those that isolate don't do.
    assert backend == "local" or "takes no list" not in result.detail


@pytest.mark.integration
@pytest.mark.parametrize("backend", ISOLATED)
@pytest.mark.parametrize("rule", ISOLATION_RULES)
def test_what_every_sandbox_that_isolates_promises(
    rule: str, backend: str, options: dict[str, Any]
) -> None:
    result = check_sandbox_rule(rule, backend, **options)
    assert result.passed, result.detail


@pytest.mark.integration
@pytest.mark.docker
@pytest.mark.parametrize("rule", [r for r in (*RULES, *ISOLATION_RULES) if r not in NOT_OF_GVISOR])
def test_what_a_box_of_gvisor_promises(rule: str, engine: Engine) -> None:
    if not engine.has_gvisor:
        pytest.skip(f"the Docker Engine at {engine.url} has no runtime runsc; start it with one")
    result = check_sandbox_rule(rule, "docker", **engine.options, runtime="runsc")
    assert result.passed, result.detail


@pytest.mark.integration
@pytest.mark.parametrize("rule", ["daemons", "network"])
def test_the_rules_of_isolation_can_be_broken(rule: str) -> None:
    assert not check_sandbox_rule(rule, "local", allow_unsafe=True).passed
