"""What bubblewrap is asked for: the command line that starts a zygote, and what a box sees.

Everything that is mounted for all boxes of a zygote alike is here; what a box has to itself, its
keeper mounts (`jail/keeper.py`).
"""

import os
from dataclasses import dataclass
from importlib.resources import files

from agentgym.errors import InfraError
from agentgym.sandboxes.jail import COMMON

# The jail's modules, and what makes a package of the folders above them.
_JAIL = "agentgym/sandboxes/jail"
_PARTS = {
    **{f"{_JAIL}/{name}.py": name for name in (*COMMON, "zygote")},
    **{f"{folder}/__init__.py": "" for folder in (_JAIL, "agentgym/sandboxes", "agentgym")},
}
_START = (
    "import sys; sys.path.insert(0, '/jail'); from agentgym.sandboxes.jail.zygote import main; "
    "main(int(sys.argv[1]), sys.argv[2:])"
)
_LINKS = ("bin", "sbin", "lib", "lib32", "lib64")
_OURS = {"box", "dev", "jail", "proc", "sys", "tmp"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a zygote is made of.

    Attributes:
        root: The folder of a root file system; None for the machine's own /usr.
        python: The interpreter, as the box sees it.
        modules: Imported beforehand.
    """

    root: str | None
    python: str
    modules: tuple[str, ...]


def opened_parts() -> list[int]:
    """Return where the jail's modules can be read; the caller closes them."""
    return [_pipe_with(name) for name in _PARTS.values()]


# Without --die-with-parent, whose parent is the thread that starts it, and threads end. A zygote
# leaves when its control socket is closed, as it is when we die.
def arguments(recipe: Recipe, parts: list[int]) -> list[str]:
    """Return what bubblewrap is given; the zygote's own arguments follow.

    Args:
        recipe: What the zygote is made of.
        parts: From `opened_parts`.

    Raises:
        InfraError: If the root file system can't be read.
    """
    words = ["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net"]
    words += ["--unshare-uts", "--unshare-cgroup-try", "--hostname", "sandbox"]
    words += ["--uid", "1000", "--gid", "1000", "--new-session"]
    words += _machine() if recipe.root is None else _folder(recipe.root)
    words += ["--dir", "/tmp", "--dir", "/box"]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for name, part in zip(_PARTS, parts, strict=True):
        words += ["--ro-bind-data", str(part), f"/jail/{name}"]
    # Boxes share these mounts, so none of them may write there.
    words += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]
    for name, value in (("PATH", "/usr/local/bin:/usr/bin:/bin"), ("OPENBLAS_NUM_THREADS", "1")):
        words += ["--setenv", name, value]
    return ["--clearenv", *words, recipe.python, "-I", "-B", "-c", _START]


def _machine() -> list[str]:
    """Return what shows the machine's own /usr, and what it needs to run."""
    arguments = ["--ro-bind", "/usr", "/usr"]
    for name in _LINKS:
        # Where these are folders still, not links into /usr, they are what programs need.
        arguments += _shown(f"/{name}", name) if os.path.lexists(f"/{name}") else []
    for name in ("etc/alternatives", "etc/ld.so.cache", "etc/ssl/certs"):
        arguments += ["--ro-bind-try", f"/{name}", f"/{name}"]
    return arguments


def _folder(root: str) -> list[str]:
    """Return what shows a root file system, entry by entry: it may lack what is mounted there."""
    try:
        names = sorted(set(os.listdir(root)) - _OURS)
    except OSError as fault:
        raise InfraError(f"The sandbox's image {root} can't be read: {fault.strerror}") from fault
    return [word for name in names for word in _shown(f"{root}/{name}", name)]


def _shown(path: str, name: str) -> list[str]:
    if os.path.islink(path):
        return ["--symlink", os.readlink(path), f"/{name}"]
    return ["--ro-bind", path, f"/{name}"]


def _pipe_with(name: str) -> int:
    """Return where a module of the jail's can be read; an empty one if it has no name."""
    jail = files("agentgym.sandboxes") / "jail"
    data = (jail / f"{name}.py").read_bytes() if name else b""
    read, write = os.pipe()
    os.set_blocking(write, False)  # larger than a pipe would be a bug, and must not hang
    try:
        os.write(write, data)
    finally:
        os.close(write)
    return read
