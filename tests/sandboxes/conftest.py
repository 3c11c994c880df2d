import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agentgym.sandbox import Sandbox, make_sandbox


@pytest.fixture(scope="module")
def public() -> Iterator[Path]:
    """A folder that everybody on this machine can read, as pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="agentgym-test-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(params=["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Sandbox]]:
    """Make boxes, of each backend that isolates; they are closed in the end."""
    backend: str = request.param
    engine = request.getfixturevalue("engine").options if backend == "docker" else {}
    with ExitStack() as boxes:

        def make(**options: Any) -> Sandbox:
            limits = {"wall_seconds": 5, "memory_mb": 256}
            return boxes.enter_context(make_sandbox(backend, **limits | engine | options))

        yield make
