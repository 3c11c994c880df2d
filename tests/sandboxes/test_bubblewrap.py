"""What is bubblewrap's own: zygotes that are shared, images that are folders."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from agentgym.errors import ConfigError, InfraError, UsageError
from agentgym.sandbox import make_sandbox

pytestmark = pytest.mark.integration


def test_a_session_can_be_interrupted_where_its_starter_ignores_interrupts() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # Modules of its own mean a zygote of its own, which is started here.
        with make_sandbox(stateful=True, modules=("colorsys",)) as box:
            box.exec("x = 1")
            assert not box.exec("while True: pass", wall_seconds=0.3).state_lost
            assert box.exec("x").value == "1"
            ignored = box.exec(["grep", "SigIgn", "/proc/self/status"]).stdout.split()[1]
            # The C library keeps two signals to itself, and whoever started us may ignore those.
            settable = sum(1 << number - 1 for number in signal.valid_signals())
            assert int(ignored, 16) & settable == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_modules_are_there_beforehand_and_a_missing_one_is_said() -> None:
    with make_sandbox(modules=("decimal",)) as box:
        assert box.exec("import sys; print('decimal' in sys.modules)").stdout == "True\n"
    with pytest.raises(InfraError, match="can't import no_such_module"):
        make_sandbox(modules=("no_such_module",))


@pytest.fixture(scope="module")
def image(public: Path) -> Path:
    """Return the folder of a root file system with an interpreter and nothing else."""
    root, python = public, Path("/usr/bin/python3").resolve()
    library = Path(f"/usr/lib/{python.name}")
    unneeded = shutil.ignore_patterns(
        "dist-packages", "test*", "idlelib", "config-*", "__pycache__"
    )
    shutil.copytree(library, root / f"usr/lib/{python.name}", ignore=unneeded, dirs_exist_ok=True)
    (root / "usr/bin").mkdir()
    shutil.copy(python, root / "usr/bin/python3")
    needing = [python, *(library / "lib-dynload").glob("_ctypes.*")]
    said = subprocess.run(["ldd", *needing], capture_output=True, text=True, check=True).stdout
    for path in set(re.findall(r"(/\S+\.so\S*) \(", said)):
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (root / "motd").write_text("welcome")
    return root


def test_an_image_is_all_that_a_box_sees(image: Path) -> None:
    with make_sandbox(image=str(image)) as box:
        listed = box.exec("import os; print(*sorted(os.listdir('/')))").stdout.split()
        assert set(listed) == {"box", "dev", "jail", "proc", "tmp", *os.listdir(image)}
        assert box.exec("print(open('/motd').read())").stdout == "welcome\n"
        assert box.exec(["ls"]).exit_code == 127
    with pytest.raises(InfraError, match="nowhere can't be read: No such file"):
        make_sandbox(image="/nowhere")


def test_forks_don_t_share_their_dice() -> None:
    with make_sandbox(modules=("random",)) as box:
        drawn = {box.exec("import random; print(random.random())").stdout for _ in range(4)}
    assert len(drawn) == 4


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(ConfigError, match="memory_mb"):
        make_sandbox(memory_gb=1)
    with pytest.raises(UsageError, match="did you mean 'bubblewrap'"):
        make_sandbox("bublewrap")
