"""Which hosts may be visited, and what the browser is told of it."""

import pytest

from agentgym.envs.web.hosts import Hosts
from agentgym.errors import UsageError


@pytest.mark.parametrize(
    ("entry", "host", "port", "allowed"),
    [
        ("example.org", "example.org", 8080, True),
        ("example.org", "EXAMPLE.org", None, True),
        ("example.org", "www.example.org", None, False),
        ("example.org:80", "example.org", None, True),
        ("example.org:80", "example.org", 8080, False),
        ("*.example.org", "www.example.org", 8080, True),
        ("*.example.org", "example.org", None, False),
        ("[::1]", "::1", 8000, True),
        ("[::1]:8000", "::1", 8000, True),
        ("[::1]:8000", "::1", 8001, False),
        ("*", "example.org", 8080, True),
        ("*", "localhost", 8080, False),
        ("*", "a.localhost", None, False),
        ("*", "127.0.0.1", None, False),
        ("*", "169.254.169.254", None, False),
        ("*", "::1", None, False),
    ],
)
def test_a_host_is_on_the_list_or_not(
    entry: str, host: str, port: int | None, allowed: bool
) -> None:
    assert Hosts.of([entry]).allow(host, port) is allowed


def test_this_machine_can_be_listed_beside_all_others() -> None:
    hosts = Hosts.of(["*", "localhost:8000"])
    assert hosts.allow("localhost", 8000)
    assert not hosts.allow("localhost", 8001)
    assert hosts.arguments() == [
        "--host-resolver-rules=MAP localhost:8000 localhost:8000,MAP localhost ~NOTFOUND,"
        "MAP *.localhost ~NOTFOUND,MAP 127.* ~NOTFOUND,MAP 0.0.0.0 ~NOTFOUND,"
        "MAP 169.254.* ~NOTFOUND,MAP ::1 ~NOTFOUND,MAP :: ~NOTFOUND,MAP ::ffff:* ~NOTFOUND"
    ]


def test_the_browser_is_told_to_find_nothing_else() -> None:
    assert Hosts.of(["[::1]", "*.example.org"]).arguments() == [
        "--no-proxy-server",
        "--host-resolver-rules=EXCLUDE *.example.org,EXCLUDE ::1,MAP * ~NOTFOUND",
    ]


@pytest.mark.parametrize("entry", ["*:80", "*.example.org:80", "http://example.org", "a b", ""])
def test_what_is_no_host_is_refused(entry: str) -> None:
    with pytest.raises(UsageError, match="A host is written as"):
        Hosts.of([entry])
