"""`PoolConfig`: how many members a pool keeps, and how long each step of keeping one may take."""

from pydantic import Field

from agentgym.backoff import Backoff
from agentgym.config import Config


class PoolConfig(Config):
    """How a pool keeps its members.

    Attributes:
        size: Most members at a time.
        spares: Members made ahead of being asked for, within `size`.
        lease_seconds: Longest wait for a member, making it included.
        create_seconds: Longest time that making one may take.
        check_seconds: Longest time that checking one may take.
        close_seconds: Longest time that closing one may take.
        check_after: A member that has lain idle for less than this is lent unchecked, in seconds.
        attempts: How often making a member is tried before the borrower is told.
        backoff: The delays between these.
        uses: Loans after which a member is replaced (browsers leak); None for never.
        quarantine: Seconds that a poisoned member rests before it is checked and lent again; None
            to close it at once.
    """

    size: int = Field(default=8, ge=1)
    spares: int = Field(default=0, ge=0)
    lease_seconds: float = Field(default=600.0, gt=0)
    create_seconds: float = Field(default=120.0, gt=0)
    check_seconds: float = Field(default=10.0, gt=0)
    close_seconds: float = Field(default=30.0, gt=0)
    check_after: float = Field(default=0.0, ge=0)
    attempts: int = Field(default=3, ge=1)
    backoff: Backoff = Backoff()
    uses: int | None = Field(default=None, ge=1)
    quarantine: float | None = Field(default=None, ge=0)
