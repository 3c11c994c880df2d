"""The contract of an environment as rules that can be run against any id.

`agentgym.check` runs them all; each module here holds the rules about one thing. A rule is a
function of a `Subject` that returns a remark for the report and raises `BrokenRuleError` with a
sentence that says what it saw and what the contract wants.
"""

from agentgym.conformance.report import Report, Result
from agentgym.conformance.subject import BrokenRuleError, Subject

__all__ = ["BrokenRuleError", "Report", "Result", "Subject"]
