"""Errors keep their type, message and fields on the way from one process to another."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from agentgym import errors
from agentgym.errors import AgentGymError, MissingDependencyError, TimeLimitError, UnknownNameError


def _every_error() -> list[AgentGymError]:
    special = (UnknownNameError, MissingDependencyError, TimeLimitError)
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, AgentGymError) and kind not in special
    ]
    assert len(kinds) >= 9
    return [
        *(kind(f"{kind.__name__} of the garden 🙂") for kind in kinds),
        UnknownNameError("environment", "acme/Gardn-v0", ["acme/Garden-v0", "acme/Shed-v0"]),
        MissingDependencyError("torch", "train"),
        TimeLimitError("step", "acme/Garden-v0", 1.5),
    ]


def _raise(error: AgentGymError) -> None:
    raise error


@pytest.mark.parametrize("error", _every_error(), ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling(error: AgentGymError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.integration
def test_an_error_survives_a_process_boundary() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        for error in _every_error():
            with pytest.raises(type(error)) as caught:
                pool.submit(_raise, error).result(timeout=30)
            assert str(caught.value) == str(error)


def test_an_unknown_name_comes_with_the_nearest_known_one() -> None:
    assert "did you mean 'grpo'?" in str(UnknownNameError("trainer", "gpro", ["arpo2x", "grpo"]))
    assert "known: none" in str(UnknownNameError("trainer", "x", []))


def test_thousands_of_known_names_do_not_fill_the_screen() -> None:
    message = str(UnknownNameError("task", "?", [f"game-{i:05}" for i in range(30_000)]))
    assert len(message) < 500
    assert "30000 in all" in message


def test_a_missing_extra_says_how_to_install_it() -> None:
    assert "pip install 'agentgym-suite[train]'" in str(MissingDependencyError("torch", "train"))
