"""Who acts. `make_policy` turns what a command line says into a policy.

| spec | policy |
|---|---|
| `expert`, `expert:NAME`, `oracle`, `explorer` | the environment's expert |
| `random`, `random:SEED` | an admissible command by chance |
| `human`, `human:NAME` | a person at the terminal, with that expert's hints |
| `replay:FILE` | recorded actions |
| `chai:RUN` | what the critic of an ArCHer run likes best of several answers of its model |
| `transformers:FOLDER`, a folder, or an id such as `Qwen/Qwen3-0.6B` | a local language model |
| `openai:MODEL` | a model behind a URL that is asked as OpenAI's API is |

A package adds its own with an entry point in the group `agentgym.policies`: a callable that takes
what follows the colon, if anything does, and keyword arguments. Models are imported when they are
asked for.
"""

from pathlib import Path
from typing import Any, cast

from agentgym.errors import UnknownNameError, UsageError
from agentgym.policy import Policy
from agentgym.registry import policies

__all__ = ["make_policy"]


def make_policy(spec: str, **kwargs: Any) -> Policy:
    """Make a policy.

    Args:
        spec: One of the table above.
        **kwargs: The policy's own arguments.

    Raises:
        UnknownNameError: If it names no policy and no folder.
        UsageError: If the policy does not take these arguments.
        DataError: If what it names can't be loaded.
    """
    name, _, rest = spec.partition(":")
    if name not in policies.names():
        # An id has one slash; a path that is not there is more likely a slip than an id.
        if not Path(spec).is_dir() and (spec.count("/") != 1 or spec.startswith((".", "/", "~"))):
            raise UnknownNameError("policy", spec, policies.names())
        name, rest = "transformers", spec
    factory = policies.load(name)
    try:
        return cast("Policy", factory(*([rest] if rest else []), **kwargs))
    except TypeError as fault:
        if "argument" not in str(fault):
            raise
        raise UsageError(f"Policy {spec!r}: {fault}".replace("__init__() ", "")) from fault
