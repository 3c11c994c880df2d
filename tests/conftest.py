"""What holds for every test."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import BUILD_SECONDS, Engine, running_engine
from hypothesis import settings

# A machine that does something else as well takes longer now and then; that is no failure.
settings.register_profile("agentgym", deadline=None, max_examples=50)
settings.load_profile("agentgym")

_TESTS = Path(__file__).parent
_BOXES = ("sandboxes", "conformance/test_sandboxes.py")

# What only a machine with other hardware can run; anything else that is skipped in CI is missing
# there, and a missing part must fail.
_HARDWARE = ("gpu",)

# Importing torch and transformers makes half a million objects that stay. The collector would walk
# them again and again, which cost a tenth of the fast tests' time; nothing that a test makes is
# exempt.
gc.disable()


def pytest_collection_finish() -> None:
    """Leave what the imports made out of every later collection."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what must run alone, and give what needs an image the time that making one may take.

    What looks at every process of the machine, or at how soon a limit ends a program, finds
    something else when tests run beside it; and the tests share one Docker Engine.
    """
    for item in items:
        docker = item.get_closest_marker("docker") is not None
        if docker:
            item.add_marker(pytest.mark.timeout(BUILD_SECONDS + 300))
        if docker or any(item.path.is_relative_to(_TESTS / place) for place in _BOXES):
            item.add_marker(pytest.mark.alone)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker Engine with an image."""
    with running_engine() as found:
        yield found


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Turn a skip into a failure in CI, unless it is for want of hardware."""
    outcome = yield
    report = outcome.get_result()
    excused = any(item.get_closest_marker(marker) for marker in _HARDWARE)
    if os.environ.get("CI") and report.skipped and not excused and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"Skipped in CI, where nothing may be missing: {report.longrepr}"
