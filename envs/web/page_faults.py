"""What goes wrong on a page: actions that can't be done, and a browser that is gone."""

from collections.abc import Generator
from contextlib import contextmanager

from agentgym.errors import InfraError


class CantDoError(Exception):
    """An action can't be done; the message tells the model why."""


@contextmanager
def faults() -> Generator[None]:
    """Turn what Playwright raises in the block into an `InfraError`."""
    from playwright.async_api import Error

    try:
        yield
    except (Error, TimeoutError) as fault:
        said = (str(fault).strip() or type(fault).__name__).splitlines()[0]
        raise InfraError(f"The browser failed: {said}") from fault


def navigates(fault: Exception) -> bool:
    """Whether a script failed because its document has gone for another one."""
    said = str(fault)
    return "context was destroyed" in said or "because of a navigation" in said


def reason(code: str | None) -> str:
    """Return in words why an address can't be opened."""
    known = {
        None: "it is no address",
        "ERR_NAME_NOT_RESOLVED": "there is no such host, or it may not be visited",
        "ERR_CONNECTION_REFUSED": "nobody answers there",
        "ERR_ABORTED": "it is no page",
    }
    return known.get(code, str(code))
