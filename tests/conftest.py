"""What holds for every test."""

import gc
import os
from collections.abc import Iterator

import pytest
from engines import BUILD_SECONDS, Engine, running_engine
from hypothesis import settings

# A machine that does something else as well takes longer now and then; that is no failure.
settings.register_profile("agentgym", deadline=None, max_examples=50)
settings.load_profile("agentgym")

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give what needs an image the time that making one may take, whichever test comes first."""
    for item in items:
        if item.get_closest_marker("docker"):
            item.add_marker(pytest.mark.timeout(BUILD_SECONDS + 300))


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
