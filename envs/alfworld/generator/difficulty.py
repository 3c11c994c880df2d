"""How large a room is: the knob of a curriculum.

A game's difficulty is how much there is to search: the number of receptacles and of objects. The
goal, the rules and the words stay the same at every level, and what the goal needs is always there.
"""

from dataclasses import dataclass

from agentgym.errors import UnknownNameError, UsageError

_FEWEST_RECEPTACLES = 4  # where it lies, where it goes, what changes it, and one to be wrong about
_FEWEST_OBJECTS = 3  # two for the goal and one distractor


@dataclass(frozen=True, slots=True)
class Difficulty:
    """The most receptacles and objects that a room has; a scene that has fewer stays as it is.

    Attributes:
        receptacles: At least 4, or None for all that the scene has.
        objects: At least 3, or None for all that the scene has.
    """

    receptacles: int | None = None
    objects: int | None = None

    def __post_init__(self) -> None:
        if self.receptacles is not None and self.receptacles < _FEWEST_RECEPTACLES:
            raise UsageError(
                f"difficulty: {self.receptacles} receptacles are too few; a game needs "
                f"{_FEWEST_RECEPTACLES} or more."
            )
        if self.objects is not None and self.objects < _FEWEST_OBJECTS:
            raise UsageError(
                f"difficulty: {self.objects} objects are too few; a game needs "
                f"{_FEWEST_OBJECTS} or more."
            )

    @classmethod
    def of(cls, value: "Difficulty | int | str") -> "Difficulty":
        """Return the difficulty that a level (1 to 5) or a name ("tiny" to "full") stands for.

        Raises:
            UnknownNameError: There is no such level.
        """
        if isinstance(value, Difficulty):
            return value
        name = LEVELS[value - 1] if isinstance(value, int) and 0 < value <= len(LEVELS) else value
        try:
            return DIFFICULTIES[str(name)]
        except KeyError:
            levels = [*DIFFICULTIES, *map(str, range(1, len(LEVELS) + 1))]
            raise UnknownNameError("difficulty", str(value), levels) from None


DIFFICULTIES: dict[str, Difficulty] = {
    "tiny": Difficulty(5, 4),
    "small": Difficulty(8, 10),
    "medium": Difficulty(12, 20),
    "large": Difficulty(18, 32),
    "full": Difficulty(),
}
"""The named levels, easiest first. "full" resembles ALFRED's rooms."""

LEVELS: tuple[str, ...] = tuple(DIFFICULTIES)
"""The names in order: level 1 is the first."""
