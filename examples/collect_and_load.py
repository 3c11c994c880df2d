"""Let an expert play, keep its episodes, and look at them with pandas.

python examples/collect_and_load.py [RUN]
"""

import sys
import tempfile
from pathlib import Path

from agentgym.policies import make_policy
from agentgym.rollout import collect
from agentgym.store import Store, export


def main(run: Path) -> None:
    with Store.writer(run) as writer:
        collect(
            "agentgym/ALFWorld-v0",
            make_policy("explorer"),
            24,
            env_kwargs={"difficulty": "tiny", "split": "valid_unseen"},
            writer=writer,
        )
    store = Store.open(run)
    episodes = store.to_pandas()
    episodes["kind"] = episodes["task_id"].str.partition("-")[0]
    print(episodes.groupby("kind")[["success", "turns", "reward"]].mean())

    turns = store.to_pandas("turn")
    print(turns["action"].str.split().str[0].value_counts())

    written = export(run, run / "chats.jsonl", where=["success=true"])
    print(f"{written.trajectories} chats in {written.path}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
