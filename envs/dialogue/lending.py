"""`Lender`: policies made from names, one per process and name, closed by the last to use it.

A rollout has dozens of environments in one process, and a model has room in memory once.
"""

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from agentgym.envs.dialogue.policy_loop import policy_loop
from agentgym.errors import TimeLimitError
from agentgym.policies import make_policy
from agentgym.policy import Policy

_WAIT_SECONDS = 300.0
_CLOSE_SECONDS = 30.0


@dataclass(slots=True)
class _Loan:
    spec: str
    options: dict[str, Any]
    policy: Policy
    users: int = 0


class Lender:
    """Makes policies, and counts who uses them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loans: list[_Loan] = []

    def borrow(self, spec: str, options: Mapping[str, Any]) -> Policy:
        """Return the policy of that name and those options, made now if nobody has it.

        Args:
            spec: As for `make_policy`.
            options: The policy's own arguments.

        Raises:
            UsageError: If there is no such policy.
            TimeLimitError: If another thread doesn't get done with making one.
        """
        with self._alone(spec):
            loan = self._find(spec, options)
            if loan is None:
                loan = _Loan(spec, dict(options), make_policy(spec, **options))
                self._loans.append(loan)
            loan.users += 1
            return loan.policy

    def give_back(self, policy: Policy) -> None:
        """End one use of a policy that was borrowed; the last one closes it.

        Raises:
            InfraError: If it doesn't close.
        """
        with self._alone(type(policy).__name__):
            (loan,) = (loan for loan in self._loans if loan.policy is policy)
            loan.users -= 1
            if loan.users == 0:
                self._loans.remove(loan)
                policy_loop.run(policy.close(), "close", f"oracle {loan.spec}", _CLOSE_SECONDS)

    def _find(self, spec: str, options: Mapping[str, Any]) -> _Loan | None:
        # A list, since options (a template's variables) may have no hash.
        alike = (one for one in self._loans if (one.spec, one.options) == (spec, options))
        return next(alike, None)

    @contextmanager
    def _alone(self, spec: str) -> Generator[None]:
        # Also while a model is loaded or closed: nobody is to load a second one meanwhile.
        if not self._lock.acquire(timeout=_WAIT_SECONDS):
            raise TimeLimitError("load", f"oracle {spec}", _WAIT_SECONDS)
        try:
            yield
        finally:
            self._lock.release()


lender = Lender()
