"""What entries name, which of them hold others, and which addresses a name may stand for."""

import ipaddress
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentgym.destinations import (
    DEFAULT_PORTS,
    Destination,
    is_public,
    listed,
    normal_host,
    parsed,
    usable,
)
from agentgym.errors import ConfigError
from agentgym.sandbox import make_sandbox


@pytest.mark.parametrize(
    ("entry", "host", "port"),
    [
        ("pypi.org", "pypi.org", None),
        ("PyPI.org.", "pypi.org", None),
        ("a_b-c.example.org:8080", "a_b-c.example.org", 8080),
        ("*.example.org", "*.example.org", None),
        ("*.Example.org:1", "*.example.org", 1),
        ("localhost:65535", "localhost", 65535),
        ("10.1.2.3", "10.1.2.3", None),
        ("[2001:DB8:0::1]:443", "2001:db8::1", 443),
    ],
)
def test_an_entry_names_a_host_and_its_ports(entry: str, host: str, port: int | None) -> None:
    ports = DEFAULT_PORTS if port is None else frozenset({port})
    assert Destination.parse(entry) == Destination(host, ports)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("https://pypi.org", "without http:// or a path"),
        ("pypi.org/simple", "without http:// or a path"),
        ("user@pypi.org", "is no host"),
        ("", "is no host"),
        ("*", "is no host"),
        ("*.org", "is no host"),
        ("a.*.org", "is no host"),
        ("*.10.1.2.3", "is no host"),
        ("a b", "is no host"),
        ("a\n", "is no host"),
        ("a..b", "is no host"),
        ("-a.org", "is no host"),
        ("grüße.de", "is no host"),
        ("\N{KELVIN SIGN}.org", "is no host"),
        ("2001:db8::1", "is no host"),
        ("[fe80::1%eth0]", "is no host"),
        ("[127.0.0.1]:80", "is no host"),
        # Resolvers take these for 127.0.0.1.
        ("127.1", "is no host"),
        ("0x7f000001", "is no host"),
        ("2130706433", "is no host"),
        ("017700000001", "is no host"),
        ("a:0", "from 1 to 65535"),
        ("a:65536", "from 1 to 65535"),
        ("a:", "is no host"),
        ("a:http", "is no host"),
        ("0.0.0.0:80", "no address that can be"),
        ("[::]:80", "no address that can be"),
        ("224.0.0.1", "no address that can be"),
    ],
)
def test_what_names_none_is_refused(entry: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"network: .*{said}"):
        make_sandbox(network=[entry])


def test_a_list_is_no_text() -> None:
    with pytest.raises(ConfigError, match="network"):
        make_sandbox(network="pypi.org")


@pytest.mark.parametrize(
    ("entry", "host", "port", "allowed"),
    [
        ("example.org", "example.org", 443, True),
        ("example.org", "example.org", 8080, False),
        ("example.org", "www.example.org", 443, False),
        ("example.org:8080", "example.org", 443, False),
        ("*.example.org", "www.example.org", 80, True),
        ("*.example.org", "a.b.example.org", 80, True),
        ("*.example.org", "example.org", 80, False),
        ("*.example.org", "badexample.org", 80, False),
        ("*.example.org", "www.example.org.bad.org", 80, False),
        ("127.0.0.1:80", "127.0.0.1", 80, True),
        ("127.0.0.1:80", "localhost", 80, False),
        ("127.0.0.1:80", "::ffff:7f00:1", 80, False),
    ],
)
def test_an_entry_allows_what_it_names(entry: str, host: str, port: int, allowed: bool) -> None:
    assert Destination.parse(entry).allows(host, port) == allowed


@pytest.mark.parametrize(
    ("entry", "others", "within"),
    [
        ("example.org", ("example.org",), True),
        ("example.org:443", ("example.org",), True),
        ("example.org", ("example.org:443",), False),
        ("example.org", ("example.org:443", "example.org:80"), True),
        ("example.org", ("*.example.org",), False),
        ("www.example.org", ("*.example.org",), True),
        ("*.www.example.org", ("*.example.org",), True),
        ("*.example.org", ("*.example.org",), True),
        ("*.example.org", ("*.www.example.org",), False),
        ("*.example.org", ("www.example.org", "example.org"), False),
        ("example.org", (), False),
    ],
)
def test_what_lies_within_others(entry: str, others: tuple[str, ...], within: bool) -> None:
    assert Destination.parse(entry).within(parsed(others)) == within


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "240.0.0.1"),
        *("192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fe80::1%lo", "fc00::1", "fec0::1"),
        *("ff02::1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", "64:ff9b::7f00:1"),
        *("64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:0808:0808::", "2001:0:1::1", "2001:db8::1"),
        *("fd00:ec2::254", "", "example.org", "127.1"),
    ],
)
def test_what_is_near_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_what_is_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses())
def test_what_is_public_is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if is_public(str(address)) and address.version == 4:
        assert address.is_global
    assert not (address.is_loopback and is_public(str(address)))


def test_an_address_that_is_not_public_has_an_entry_of_its_own() -> None:
    found = ["10.0.0.1", "8.8.8.8", "10.0.0.2"]
    allowed = parsed(("mirror.example.org", "10.0.0.2:443", "10.0.0.1:8080"))
    assert usable(found, "mirror.example.org", 443, allowed) == ["8.8.8.8", "10.0.0.2"]
    assert usable(["8.8.8.8"], "localhost", 80, allowed) == ["127.0.0.1", "::1"]


@given(st.text(max_size=80) | st.from_regex(r"[a-z0-9.:\[\]*-]{0,40}", fullmatch=True))
@example("[::1]")
def test_hosts_have_one_form(text: str) -> None:
    host = normal_host(text)
    if host is not None:
        again = normal_host(f"[{host}]" if ":" in host else host)
        assert again == host == host.lower()
        assert not set(host) & set(" \r\n/@%[]*#?\\\0")


@given(st.text(max_size=40) | st.from_regex(r"(\*\.)?[a-z0-9.-]{1,20}(:\d{0,6})?", fullmatch=True))
def test_an_entry_is_wrong_or_within_itself(text: str) -> None:
    with suppress(ValueError):
        found = Destination.parse(text)
        assert found.within((found,))
        assert not found.within(())


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "none"), (2, "0, 1"), (14, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more")],
)
def test_a_list_is_told_in_short(count: int, said: Any) -> None:
    assert listed(tuple(map(str, range(count)))) == said
