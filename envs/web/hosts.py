"""`Hosts`: where a browser may go, and how the browser itself is told to go nowhere else.

The list is kept by Chromium's resolver: a host that isn't on it has no address, whoever asks (a
link, a script, an image, a web socket, a redirection) and also where it is written in digits. There
is no proxy, which would ask by names of its own. So what runs in a page reaches no service of this
machine, unless it is listed.
"""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass

from agentgym.errors import UsageError

_ENTRY = re.compile(r"(?P<host>\*|(\*\.)?[a-z0-9_.-]+|\[[0-9a-f:]+\])(:(?P<port>\d{1,5}))?")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Hosts:
    """Which hosts may be visited.

    Attributes:
        allowed: "example.org", "*.example.org" for all below it, with ":8080" for that port alone;
            "*" for any host.
    """

    allowed: tuple[str, ...] = ()

    @classmethod
    def of(cls, entries: Sequence[str]) -> "Hosts":
        """Return the hosts of a list, in one order whatever order they were given in.

        Raises:
            UsageError: If one is no host.
        """
        if isinstance(entries, str):
            raise UsageError(f"hosts is a list, such as [{entries!r}]")
        for entry in entries:
            if _ENTRY.fullmatch(entry.lower()) is None:
                raise UsageError(
                    f"A host is written as example.org, *.example.org or 127.0.0.1:8000, or * for "
                    f"any; got {entry!r}"
                )
        return cls(tuple(sorted({entry.lower() for entry in entries})))

    def allow(self, host: str, port: int | None) -> bool:
        """Whether a host may be visited; None is the scheme's own port."""
        host = f"[{host}]" if ":" in host else host
        known = [host] if port is None else [host, f"{host}:{port}"]
        if port is None:
            known += [f"{host}:{usual}" for usual in _PORTS.values()]
        return any(
            fnmatch.fnmatchcase(name.lower(), entry) for entry in self.allowed for name in known
        )

    def told(self) -> str:
        """Say in words which there are."""
        return f"allowed are: {', '.join(self.allowed)}" if self.allowed else "nothing may"

    def arguments(self) -> list[str]:
        """Return what Chromium is started with."""
        if "*" in self.allowed:
            return []
        # The first rule that fits counts, and one that maps a host to itself changes nothing.
        rules = [_rule(entry) for entry in self.allowed]
        return [
            "--no-proxy-server",
            f"--host-resolver-rules={','.join([*rules, 'MAP * ~NOTFOUND'])}",
        ]


NOWHERE = Hosts()
"""No host at all."""


def _rule(entry: str) -> str:
    match = _ENTRY.fullmatch(entry)
    assert match is not None
    return f"EXCLUDE {entry}" if match["port"] is None else f"MAP {entry} {entry}"
