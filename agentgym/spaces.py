"""The `Unicode` space: any text up to a length.

`gymnasium.spaces.Text` admits only the characters of a charset (alphanumerics by default), so
neither an observation with punctuation nor an action in Chinese belongs to it. `Unicode` contains
every `str`, and counts its length in code points. It is what `AgentEnv` uses for text on both
sides.
"""

from collections.abc import Iterable
from typing import Any, cast

import gymnasium
import numpy as np

# Sampling draws from printable text of several scripts and planes, so that a random action
# exercises what ASCII would not: combining marks, right-to-left letters, characters outside the
# basic plane.
_SAMPLE_ALPHABET = (
    "abcdefghijklmnopqrstuvwxyz 0123456789,.;:!?'\"<>{}[]()/\\-_\n\täöüßéñ中文字日本語한국어"
    "עבריתالعربيةЖжЩщ\u0301🙂🚀"
)


class Unicode(gymnasium.Space[str]):
    """All strings of `min_length` to `max_length` code points.

    Args:
        max_length: Longest member, in code points; None for no bound.
        min_length: Shortest member, in code points.
        seed: Seed of the space's own generator, used by `sample`.

    Raises:
        ValueError: If the lengths don't describe a non-empty set.
    """

    def __init__(
        self,
        max_length: int | None = None,
        *,
        min_length: int = 0,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        if min_length < 0 or (max_length is not None and max_length < min_length):
            raise ValueError(
                f"Unicode needs 0 <= min_length <= max_length, got {min_length}, {max_length}"
            )
        self.min_length = min_length
        self.max_length = max_length
        super().__init__(shape=None, dtype=np.str_, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """False: text has no fixed-size array form."""
        return False

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        """Draw a string from several scripts, at most 64 code points longer than the shortest.

        Args:
            mask: Not supported: text has no mask.
            probability: Not supported.

        Raises:
            ValueError: If a mask or a probability is given.
        """
        if mask is not None or probability is not None:
            raise ValueError("Unicode.sample takes neither a mask nor a probability")
        longest = self.min_length + 64
        if self.max_length is not None:
            longest = min(longest, self.max_length)
        length = int(self.np_random.integers(self.min_length, longest + 1))
        picks = self.np_random.integers(0, len(_SAMPLE_ALPHABET), size=length)
        return "".join(_SAMPLE_ALPHABET[i] for i in picks)

    def contains(self, x: Any) -> bool:
        """Tell whether `x` is a `str` of an admitted length."""
        if not isinstance(x, str):
            return False
        return len(x) >= self.min_length and (self.max_length is None or len(x) <= self.max_length)

    def to_jsonable(self, sample_n: Iterable[str]) -> list[str]:
        """Return the samples as a JSON list."""
        return list(sample_n)

    def from_jsonable(self, sample_n: list[Any]) -> list[str]:
        """Return the samples of a JSON list."""
        return [str(sample) for sample in sample_n]

    def __repr__(self) -> str:
        return f"Unicode(max_length={self.max_length}, min_length={self.min_length})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Unicode)
            and self.min_length == other.min_length
            and self.max_length == other.max_length
        )

    def __hash__(self) -> int:
        return hash((Unicode, self.min_length, self.max_length))


def observation_space(image_shape: tuple[int, int] | None = None) -> gymnasium.spaces.Dict:
    """Return the space of `Observation`: text, and an image where the environment is visual.

    Args:
        image_shape: (height, width) of the image in pixels, or None for a text environment.
    """
    spaces: dict[str, gymnasium.Space[Any]] = {"text": Unicode()}
    if image_shape is not None:
        height, width = image_shape
        box = gymnasium.spaces.Box(0, 255, (height, width, 3), np.uint8)
        spaces["image"] = cast("gymnasium.Space[Any]", box)
    return gymnasium.spaces.Dict(spaces)
