"""`Destination`: where the programs of a box may connect to, as an entry of `SandboxSpec.network`.

    pypi.org              one host, at ports 80 and 443
    example.org:8080      one port of it
    *.example.org         every name below example.org, without that name itself
    10.1.2.3:443          an address; [2001:db8::1]:443 is how an IPv6 address is written
    localhost:8080        the loopback of the machine that the box runs on

A name stands for addresses that are public: it can't open what is near that machine by resolving
to 127.0.0.1 or 10.1.2.3. An address that is not public has an entry of its own.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import AfterValidator

__all__ = ["DEFAULT_PORTS", "Destination", "Network", "listed", "parsed"]

DEFAULT_PORTS = frozenset({80, 443})
"""Of an entry without a port: those of http and https."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LOOPBACK = ("127.0.0.1", "::1")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
# What resolvers take for an address in one of its many forms: 127.1, 0x7f000001, 2130706433.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_LONGEST_NAME = 253
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_LISTED = 12


@dataclass(frozen=True, slots=True)
class Destination:
    """Where programs may connect to.

    Attributes:
        host: A name in lower case, `*.` and a name, or an address in its usual form.
        ports: Of TCP.
    """

    host: str
    ports: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the destination that an entry names.

        Raises:
            ValueError: If it names none; the message says how one is written.
        """
        found = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?", text, re.ASCII)
        if found is None:
            raise ValueError(_wrong(text))
        port = None if found[2] is None else int(found[2])
        if port is not None and not 0 < port < 1 << 16:
            raise ValueError(f"{text!r}: a port is a number from 1 to 65535")
        pattern = found[1].startswith("*.")
        host = normal_host(found[1].removeprefix("*."))
        if host is None or (pattern and (address_of(host) or "." not in host)):
            raise ValueError(_wrong(text))
        address = address_of(host)
        if address is not None and (address.is_unspecified or address.is_multicast):
            raise ValueError(f"{text!r} is no address that can be connected to")
        ports = DEFAULT_PORTS if port is None else frozenset({port})
        return cls(f"*.{host}" if pattern else host, ports)

    def allows(self, host: str, port: int) -> bool:
        """Whether a program may connect there.

        Args:
            host: As `normal_host` returns it.
            port: Of TCP.
        """
        return port in self.ports and self._holds(host)

    def _holds(self, host: str) -> bool:
        if self.host.startswith("*."):
            return host.endswith(self.host[1:]) and host != self.host
        return host == self.host

    def within(self, others: "tuple[Destination, ...]") -> bool:
        """Whether others together allow all that this one does."""
        # Of a pattern, too: what is below *.a.example.org is below *.example.org.
        around = [o.ports for o in others if o.host == self.host or o._holds(self.host)]
        return self.ports <= frozenset[int]().union(*around)


def parsed(entries: tuple[str, ...]) -> tuple[Destination, ...]:
    """Return the destinations that entries name.

    Raises:
        ValueError: If one names none.
    """
    return tuple(Destination.parse(entry) for entry in entries)


def _checked(entries: tuple[str, ...]) -> tuple[str, ...]:
    parsed(entries)
    return entries


Network = Annotated[tuple[str, ...], AfterValidator(_checked)]
"""Entries, as a setting: what names no destination is refused when it is set."""


def listed(entries: tuple[str, ...]) -> str:
    """Return entries as a message lists them."""
    more = f" and {len(entries) - _LISTED} more" if len(entries) > _LISTED else ""
    return ", ".join(entries[:_LISTED]) + more or "none"


def normal_host(text: str) -> str | None:
    """Return a host as it is compared: in lower case, without a last dot; None if it is none."""
    if not text.isascii():
        return None  # some letters become others in lower case
    if text.startswith("["):
        try:
            return str(ipaddress.IPv6Address(text[1:-1])) if "%" not in text else None
        except ValueError:
            return None
    host = text.lower().removesuffix(".")
    address = address_of(host)
    if address is not None:
        # An IPv6 address without brackets would be taken for a host and its port.
        return str(address) if address.version == 4 else None
    labels = host.split(".")
    if len(host) > _LONGEST_NAME or _NUMBER.fullmatch(labels[-1]):
        return None
    return host if all(map(_LABEL.fullmatch, labels)) else None


def address_of(host: str) -> Address | None:
    """Return the address that a host is; None if it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def usable(found: list[str], host: str, port: int, allowed: tuple[Destination, ...]) -> list[str]:
    """Return which of a host's addresses may be connected to.

    Args:
        found: What the host resolves to, or the one address that it is.
        host: As `normal_host` returns it; allowed already.
        port: Of TCP.
        allowed: An address that is one of these may be other than public.
    """
    if host == "localhost":
        return list(_LOOPBACK)  # whatever a resolver makes of it
    return [
        address
        for address in found
        if is_public(address) or any(each.allows(address, port) for each in allowed)
    ]


def is_public(text: str) -> bool:
    """Whether an address is one of the internet's: not near this machine, nor a way to what is."""
    address = address_of(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped or address in _NAT64:
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        elif address.sixtofour or address.teredo or address not in _GLOBAL_UNICAST:
            return False
    return address is not None and address.is_global and not address.is_multicast


def _wrong(text: str) -> str:
    return (
        f"{text!r} is no host; write a host, host:port or *.example.org, without http:// or a "
        "path, such as pypi.org or 127.0.0.1:8080"
    )
