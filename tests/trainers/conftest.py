import pytest
import torch
from hypothesis import settings

# A machine that does something else as well takes longer now and then; that is no failure.
settings.register_profile("trainers", deadline=None, max_examples=50)
settings.load_profile("trainers")


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tensors of a few hundred numbers lose more to a thread pool than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
