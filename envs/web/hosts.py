"""`Hosts`: where a browser may go, and how the browser itself is told to go nowhere else.

The list is kept by Chromium's resolver: a host that isn't on it has no address, whoever asks (a
link, a script, an image, a web socket, a redirection) and also where it is written in digits. There
is no proxy, which would ask by names of its own. So what runs in a page reaches no service of this
machine, unless it is listed; "*" is any host but this machine's own names. A name that is listed
and whose address is this machine's reaches it too: what is listed is trusted.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agentgym.errors import UsageError

_ENTRY = re.compile(
    r"(?P<any>\*)|\*(?P<below>\.[a-z0-9_.-]+)|"
    r"(?P<host>[a-z0-9_.-]+|\[[0-9a-f:.]+\])(:(?P<port>\d{1,5}))?"
)
_PORTS = {"http": 80, "https": 443}
# What this machine is called, and what is on its own link, as patterns of Chromium's.
_LOCAL = ("localhost", "*.localhost", "127.*", "0.0.0.0", "169.254.*", "::1", "::", "::ffff:*")


@dataclass(frozen=True, slots=True)
class Hosts:
    """Which hosts may be visited.

    Attributes:
        allowed: "example.org", or "example.org:8080" for that port alone; "*.example.org" for all
            below it; "*" for any host but this machine, whose names have to be listed.
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
                    "A host is written as example.org, 127.0.0.1:8000 or *.example.org (without a "
                    f"port), or * for any; got {entry!r}"
                )
        return cls(tuple(sorted({entry.lower() for entry in entries})))

    def allow(self, host: str, port: int | None) -> bool:
        """Whether a host may be visited; None is the scheme's own port."""
        bare = host.lower()
        name = f"[{bare}]" if ":" in bare else bare
        ports = _PORTS.values() if port is None else (port,)
        for entry in self.allowed:
            match = _ENTRY.fullmatch(entry)
            assert match is not None
            if match["any"]:
                fits = not any(_fits(bare, pattern) for pattern in _LOCAL)
            elif match["below"]:
                fits = bare.endswith(match["below"])
            else:
                fits = name == match["host"] and (
                    match["port"] is None or int(match["port"]) in ports
                )
            if fits:
                return True
        return False

    def told(self) -> str:
        """Say in words which there are."""
        return f"allowed are: {', '.join(self.allowed)}" if self.allowed else "nothing may"

    def arguments(self) -> list[str]:
        """Return what Chromium is started with."""
        # The first rule that fits counts, and one that maps a host to itself changes nothing.
        rules = [_rule(entry) for entry in self.allowed if entry != "*"]
        closed = _LOCAL if "*" in self.allowed else ("*",)
        rules += [f"MAP {pattern} ~NOTFOUND" for pattern in closed]
        # A proxy that is set would be asked for other hosts, and is what some machines need for it.
        proxy = [] if "*" in self.allowed else ["--no-proxy-server"]
        return [*proxy, f"--host-resolver-rules={','.join(rules)}"]


NOWHERE = Hosts()
"""No host at all."""


def _rule(entry: str) -> str:
    match = _ENTRY.fullmatch(entry)
    assert match is not None
    if match["port"] is not None:
        return f"MAP {entry} {entry}"
    return f"EXCLUDE {entry.strip('[]')}"


def _fits(host: str, pattern: str) -> bool:
    """Whether a host fits a pattern whose only sign is a star, as Chromium reads it."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), host) is not None
