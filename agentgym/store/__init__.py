"""The trajectory store: an append-only log per writer, read live by anyone.

`Store.writer(run_dir)` adds trajectories, `Store.open(run_dir)` reads them. The files are the
truth; nothing else is needed to read them:

    trajectories/<writer>-0000.agl     frames, one per trajectory (`frame`, `codec`)
    trajectories/<writer>-0000.pack    the writer's images, each once by content hash (`images`)

A writer is one process and has files of its own, so there are no locks, and it works on network
file systems. A trajectory that `add` returned from survives `kill -9`; a torn tail is detected by
its checksum and left out. `docs/trajectories.md` has the format.
"""

from agentgym.store.interchange import Exported, Format, export
from agentgym.store.reader import Rows, Store
from agentgym.store.segment import Damage
from agentgym.store.summary import Summary
from agentgym.store.where import Condition, parse_conditions
from agentgym.store.writer import StoreWriter, TurnPatch

__all__ = [
    "Store",
    "StoreWriter",
    "Summary",
    "TurnPatch",
    "Rows",
    "Condition",
    "parse_conditions",
    "Damage",
    "export",
    "Exported",
    "Format",
]
