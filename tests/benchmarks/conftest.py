"""Benchmarks are scripts that find each other beside them, here as when they are run."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(scope="package", autouse=True)
def _one_thread():
    """Models this small lose more to a thread pool than they gain, on a busy machine seconds."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
