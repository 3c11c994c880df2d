"""Recorded trajectories as training data: read, chosen, and written in the learner's tokens."""

from collections.abc import Sequence

from agentgym.chat_template import ChatTemplate
from agentgym.conversation import tokenized
from agentgym.errors import DataError
from agentgym.store import Store, Summary, parse_conditions
from agentgym.tool import ToolSpec
from agentgym.trajectory import Trajectory


def read_runs(runs: Sequence[str], where: Sequence[str]) -> list[Trajectory]:
    """Return the trajectories of run folders that meet all conditions.

    Args:
        runs: The folders.
        where: Conditions such as "success=true"; none for all.

    Raises:
        DataError: If none meets them.
    """
    return chosen([t for run in runs for t in Store.open(run)], where, ", ".join(runs))


def chosen(found: Sequence[Trajectory], where: Sequence[str], source: str) -> list[Trajectory]:
    """Return the trajectories that have turns and meet all conditions.

    Args:
        found: Any.
        where: The conditions; none for all.
        source: Where they come from, for the message.

    Raises:
        DataError: If none meets them.
    """
    accepts = parse_conditions(where)
    kept = [t for t in found if t.turns and accepts(Summary.of(t, t.started))]
    if not kept:
        conditions = " and ".join(where) or "no condition"
        raise DataError(
            f"There is nothing to learn from: none of {len(found)} trajectories from {source} "
            f"meets {conditions}; change …where, or look at the runs."
        )
    return kept


def in_tokens_of(trajectories: Sequence[Trajectory], template: ChatTemplate) -> list[Trajectory]:
    """Return the trajectories with ids for a model that did not sample them.

    Args:
        trajectories: Any; their texts are all that is read.
        template: The learner's chat template.
    """
    return [tokenized(trajectory, template, _tools(trajectory)) for trajectory in trajectories]


def _tools(trajectory: Trajectory) -> list[ToolSpec]:
    functions = [tool["function"] for tool in trajectory.tools]
    return [ToolSpec(f["name"], f["description"], f["parameters"]) for f in functions]
