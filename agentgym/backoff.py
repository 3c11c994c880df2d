"""`Backoff`: how long to wait before trying again, on a fresh resource."""

import random

from pydantic import Field

from agentgym.config import Config


class Backoff(Config):
    """Delays that grow exponentially, with jitter so that what failed together doesn't retry so.

    Attributes:
        first: Seconds before the first retry.
        factor: How much longer each further delay is.
        most: The longest delay, in seconds.
        jitter: Every delay is drawn from 1 - jitter to 1 + jitter times its length.
    """

    first: float = Field(default=0.5, ge=0)
    factor: float = Field(default=2.0, ge=1)
    most: float = Field(default=30.0, ge=0)
    jitter: float = Field(default=0.5, ge=0, le=1)

    def seconds(self, failures: int, rng: random.Random) -> float:
        """Return the delay after so many failures in a row.

        Args:
            failures: At least 1.
            rng: Draws the jitter; seed it and delays repeat.
        """
        # 1.5 ** 2000 is no float; nobody fails that often, but a counter might.
        grown = self.first * self.factor ** min(failures - 1, 60)
        return min(grown, self.most) * rng.uniform(1 - self.jitter, 1 + self.jitter)
