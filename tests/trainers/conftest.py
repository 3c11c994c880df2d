import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tensors of a few hundred numbers lose more to a thread pool than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
