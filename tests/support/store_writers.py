"""Writers to be killed: `python store_writers.py RUN_DIR FIRST_SEED WRITERS`.

Each forked writer adds the episodes of its own seeds for ever. After `add` returns it notes the
seed in its own file of acknowledgements, with a single write.
"""

import os
import sys
from pathlib import Path

from store_cases import episode

from agentgym.store import Store

BIG = {"turns": 4, "tokens": 4000, "image_side": 192}
"""Large enough that a kill often falls into the middle of a write."""


def write_for_ever(run_dir: Path, first_seed: int) -> None:
    acks = os.open(run_dir / f"acks-{first_seed}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    with Store.writer(run_dir, segment_bytes=4 << 20) as writer:
        seed = first_seed
        while True:
            writer.add(episode(seed, **BIG))
            os.write(acks, f"{seed}\n".encode())
            seed += 1


if __name__ == "__main__":
    run, first, writers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for number in range(1, writers):
        if os.fork() == 0:
            write_for_ever(run, first + number * 100_000)
    write_for_ever(run, first)
