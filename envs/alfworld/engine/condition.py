"""Ground conditions as bit masks over states."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way for a condition to hold: `need` is true, `forbid` is false, no `unless` holds."""

    need: int
    forbid: int
    unless: tuple["Condition", ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """A ground condition: it holds where one of its alternatives does."""

    alternatives: tuple[Alternative, ...]

    def holds(self, state: int) -> bool:
        """Whether the condition holds in a state."""
        for option in self.alternatives:
            if (
                state & option.need == option.need
                and not state & option.forbid
                and not any(condition.holds(state) for condition in option.unless)
            ):
                return True
        return False

    @property
    def mask(self) -> int:
        """The facts that the condition looks at."""
        mask = 0
        for option in self.alternatives:
            mask |= option.need | option.forbid
            for condition in option.unless:
                mask |= condition.mask
        return mask
