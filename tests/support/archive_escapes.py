"""Ways out of a sandbox through an archive whose members are named, or lead, elsewhere.

Each program packs such an archive and extracts it, by Python's `tarfile` or by `tar`, in the most
trusting way that these have. It can't tell whether it wrote to the host's folder or to one of its
own that has the same name, so it only says that it tried: whoever runs it looks at what is around
the box. Both folders that are aimed at are a test's own, so that an attempt that gets out does no
harm.
"""

from escapes import Escape

_EXTRACT = """
import io, tarfile
UP = "../" * 40
def pack(*members):
    with tarfile.open("a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, what in members:
            member = tarfile.TarInfo(name)
            member.mode, data = 0o666, what.encode() if kind == tarfile.REGTYPE else b""
            member.type, member.size, member.linkname = kind, len(data), "" if data else what
            archive.addfile(member, io.BytesIO(data))
def file(name): return name, tarfile.REGTYPE, "escaped"
def link(name, to): return name, tarfile.SYMTYPE, to
def hard_link(name, to): return name, tarfile.LNKTYPE, to
def tarfile_does():
    trusting = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
    with tarfile.open("a.tar") as archive:
        archive.extractall(**trusting)
def tar_does():
    subprocess.run(["tar", "-xPf", "a.tar"], check=True, capture_output=True, text=True)
def extract(does, *members):
    pack(*members)
    try:
        does()
    except (OSError, KeyError, tarfile.TarError, subprocess.SubprocessError) as fault:
        held(getattr(fault, "stderr", None) or fault)
    else:
        held("extracted")
"""
_TARGETS = {"the host's folder": "outside", "another box's folder": "neighbour"}

# What the archive holds, after what it is for. `target` is an absolute path of a folder that holds
# the file `kept`.
_WRITING = {
    "a name with ..": "file(UP + target[1:] + '/new')",
    "a name with .. of what is there": "file(UP + target[1:] + '/kept')",
    "an absolute name": "file(target + '/new')",
    "an absolute name of what is there": "file(target + '/kept')",
    "a link and a file behind it": "link('a', target), file('a/new')",
    "a link by .. and a file behind it": "link('a', UP + target[1:]), file('a/new')",
    "two links and a file behind them": "link('a', '/'), link('b', 'a' + target), file('b/new')",
    "a link through its root and a file behind it": (
        "link('a', '/proc/self/root' + target), file('a/new')"
    ),
}
# tar removes what has the name of a member; tarfile writes to where it leads.
_WRITING_THROUGH = {
    "a link and a file in its place": "link('a', target + '/kept'), file('a')",
    "a hard link and a file in its place": "hard_link('a', target + '/kept'), file('a')",
}
# What is left behind, which the host is asked for and writes to.
_LEAVING = {
    "a link": ("link('a', target + '/kept')", "a"),
    "a link by ..": ("link('a', UP + target[1:] + '/kept')", "a"),
    "a link through its root": ("link('a', '/proc/self/root' + target + '/kept')", "a"),
    "a hard link": ("hard_link('a', target + '/kept')", "a"),
    "a link to a folder": ("link('a', target)", "a/kept"),
    "a link to a folder, and a new name in it": ("link('a', target)", "a/new"),
    "a folder with a link": ("link('a/b/c', target + '/kept')", "a/b/c"),
}


def _escapes() -> list[Escape]:
    found: list[Escape] = []
    for where, placeholder in _TARGETS.items():
        for does in ("tarfile", "tar"):
            writing = _WRITING | (_WRITING_THROUGH if does == "tarfile" else {})
            members = {f"writes to {where} by {what}": (m, "") for what, m in writing.items()}
            members |= {f"leaves {what}, aimed at {where}": left for what, left in _LEAVING.items()}
            found += [
                Escape(
                    f"{name}, with {does}",
                    f"{_EXTRACT}target = {{{placeholder}!r}}\nextract({does}_does, {packed})",
                    leaves=(left,) if left else (),
                )
                for name, (packed, left) in members.items()
            ]
    return found


ARCHIVES = _escapes()
