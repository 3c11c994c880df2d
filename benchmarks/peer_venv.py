"""Virtual environments for peers that can't share ours, such as one that pins another Playwright.

They are made below build/, once for what they hold, and found there by later runs.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "build" / "peers"
_SECONDS = 900.0


def peer_python(name: str, requirements: Sequence[str], folder: Path = FOLDER) -> Path:
    """Return the interpreter of a peer's environment, which is made where there is none yet.

    Args:
        name: The environment's folder.
        requirements: What pip installs there.
        folder: Where the environments lie.

    Raises:
        RuntimeError: If it can't be made; pip's words are in the message.
    """
    home = folder / name
    python, made = home / "bin" / "python", home / "requirements.txt"
    wanted = "".join(f"{one}\n" for one in requirements)
    if made.exists() and made.read_text() == wanted:
        return python
    print(f"making {home} of {', '.join(requirements)}", file=sys.stderr, flush=True)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(home)],
        [str(python), "-m", "pip", "install", "--quiet", *requirements],
    ):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
        if done.returncode:
            raise RuntimeError(f"{home} can't be made: {(done.stderr or done.stdout).strip()}")
    made.write_text(wanted)  # last, so that one that was broken off is made again
    return python
