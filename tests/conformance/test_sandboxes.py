"""Every backend keeps the promises of a sandbox."""

from collections.abc import Iterator
from typing import Any

import pytest
from sandbox_servers import TOKEN, sandbox_server

from agentgym.sandbox_check import ISOLATION_RULES, RULES, check_sandbox_rule

BACKENDS: dict[str, dict[str, Any]] = {
    "bubblewrap": {},
    "local": {"allow_unsafe": True},
    "remote": {"token": TOKEN},
}
ISOLATED = ("bubblewrap", "remote")


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, str]]:
    """Where `remote` finds a server, which lends boxes of bubblewrap's."""
    with sandbox_server() as server:
        yield {"url": server.url}


@pytest.fixture
def options(backend: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    more = request.getfixturevalue("served") if backend == "remote" else {}
    return BACKENDS[backend] | more


@pytest.mark.integration
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rule", RULES)
def test_what_every_sandbox_promises(rule: str, backend: str, options: dict[str, Any]) -> None:
    result = check_sandbox_rule(rule, backend, **options)
    assert result.passed, result.detail


@pytest.mark.integration
@pytest.mark.parametrize("backend", ISOLATED)
@pytest.mark.parametrize("rule", ISOLATION_RULES)
def test_what_every_sandbox_that_isolates_promises(
    rule: str, backend: str, options: dict[str, Any]
) -> None:
    result = check_sandbox_rule(rule, backend, **options)
    assert result.passed, result.detail


@pytest.mark.integration
@pytest.mark.parametrize("rule", ["daemons", "network"])
def test_the_rules_of_isolation_can_be_broken(rule: str) -> None:
    assert not check_sandbox_rule(rule, "local", allow_unsafe=True).passed
