import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def public() -> Iterator[Path]:
    """A folder that everybody on this machine can read, as pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="agentgym-test-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
