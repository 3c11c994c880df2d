"""`Report`: what a check found, rule by rule."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one rule.

    Attributes:
        rule: The rule's name.
        passed: Whether it is kept.
        detail: What was seen, in a sentence.
        seconds: How long it took.
    """

    rule: str
    passed: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """What became of every rule.

    Attributes:
        subject: What was checked: an environment's id, a sandbox's name.
        results: One result a rule, in the order they were run.
        notes: What else there is to know, in sentences.
    """

    subject: str
    results: tuple[Result, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every rule is kept."""
        return all(result.passed for result in self.results)

    @property
    def failures(self) -> tuple[Result, ...]:
        """The results of the rules that are broken."""
        return tuple(result for result in self.results if not result.passed)

    def __str__(self) -> str:
        width = max((len(result.rule) for result in self.results), default=0)
        lines = [
            f"{'ok  ' if result.passed else 'FAIL'} {result.rule:{width}} {result.seconds:6.2f} s"
            f"  {result.detail}"
            for result in self.results
        ]
        broken = len(self.failures)
        verdict = f"breaks {broken} of {len(lines)} rules" if broken else "keeps the contract"
        return "\n".join([*lines, *self.notes, f"{self.subject} {verdict}."])
