"""The space of texts, alone and inside Gymnasium's own machinery."""

import pickle

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate
from hypothesis import given
from hypothesis import strategies as st

from agentgym.spaces import Unicode, observation_space


@given(st.text(st.characters()))
def test_every_string_is_in_it(text: str) -> None:
    assert text in Unicode()


@given(st.text(), st.integers(0, 5), st.integers(0, 5))
def test_length_is_counted_in_code_points(text: str, low: int, more: int) -> None:
    assert (text in Unicode(low + more, min_length=low)) == (low <= len(text) <= low + more)


@pytest.mark.parametrize("thing", [None, 1, b"bytes", ["a"], np.zeros(1)])
def test_nothing_but_strings_is_in_it(thing: object) -> None:
    assert thing not in Unicode()


@given(st.integers(0, 500), st.none() | st.integers(0, 500), st.integers(0, 2**32))
def test_samples_are_members_and_depend_on_the_seed(low: int, more: int | None, seed: int) -> None:
    longest = None if more is None else low + more
    one, other = (Unicode(longest, min_length=low, seed=seed) for _ in range(2))
    drawn = [one.sample() for _ in range(5)]
    assert all(text in one for text in drawn)
    assert drawn == [other.sample() for _ in range(5)]


def test_samples_leave_ascii() -> None:
    space = Unicode(seed=0)
    assert not "".join(space.sample() for _ in range(50)).isascii()


def test_impossible_lengths_and_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="min_length"):
        Unicode(3, min_length=4)
    with pytest.raises(ValueError, match="mask"):
        Unicode().sample(mask=np.ones(3))


def test_equality_pickling_and_json() -> None:
    space = Unicode(9, min_length=1, seed=3)
    copy = pickle.loads(pickle.dumps(space))
    assert copy == space
    assert hash(copy) == hash(space)
    assert copy.sample() == space.sample()
    assert space != Unicode(9)
    assert space.from_jsonable(space.to_jsonable(["ä", "🙂"])) == ["ä", "🙂"]


def test_observations_batch_as_gymnasium_batches() -> None:
    single = observation_space((4, 6))
    batched = batch_space(single, 3)
    assert isinstance(batched, spaces.Dict)
    image = np.zeros((4, 6, 3), np.uint8)
    members = [{"text": text, "image": image} for text in ("a", "中", "🙂")]
    out = concatenate(single, members, create_empty_array(single, 3))
    assert out["text"] == ("a", "中", "🙂")
    assert out["image"].shape == (3, 4, 6, 3)
    assert out in batched
    assert [member["text"] for member in iterate(batched, out)] == ["a", "中", "🙂"]


def test_a_text_environment_has_no_image() -> None:
    assert list(observation_space()) == ["text"]
