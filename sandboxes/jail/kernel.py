"""The kernel's calls that Python has no function for, through ctypes.

Everything in this folder runs inside the sandbox, under whatever Python is there (3.9 or newer),
and imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
from collections.abc import Generator
from contextlib import contextmanager

NEWNS = 0x00020000
NEWCGROUP = 0x02000000
NEWUTS = 0x04000000
NEWIPC = 0x08000000
NEWUSER = 0x10000000
NEWPID = 0x20000000
NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096

_CLONE = {"x86_64": 56, "aarch64": 220}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522

# Of the two ways to call C this one keeps the interpreter's lock, so that a clone leaves the child
# with one that it holds.
_libc = ctypes.PyDLL(None, use_errno=True)
_machine = platform.machine()


class _SockFprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def clone(namespaces: int) -> int:
    """Fork into new namespaces, and return what `fork` returns."""
    flags = ctypes.c_ulong(namespaces | signal.SIGCHLD)
    zero = ctypes.c_ulong(0)
    pid = _libc.syscall(ctypes.c_long(_CLONE[_machine]), flags, zero, zero, zero, zero)
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    return _checked(pid, "clone")


def unshare(namespaces: int) -> None:
    """Move into new namespaces; where it is a PID namespace, this process's children do."""
    _checked(_libc.unshare(ctypes.c_int(namespaces)), "unshare")


def mount(
    source: str | None, target: str, kind: str | None, flags: int = 0, options: str = ""
) -> None:
    """Mount a file system, or bind or remount one."""
    words = [None if word is None else word.encode() for word in (source, target, kind, options)]
    result = _libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3])
    _checked(result, f"mount {target}")


def unmount(target: str) -> None:
    """Unmount what is mounted last at a place, which nothing may use any more."""
    _checked(_libc.umount2(target.encode(), ctypes.c_int(0)), f"unmount {target}")


def unix_sockets() -> int:
    """Return how many Unix sockets there are in the network of process 1."""
    with open("/proc/1/net/unix", "rb") as file:
        return sum(1 for _ in file) - 1


def tcp_sockets() -> int:
    """Return how many TCP sockets there are in that network, those included that wait closed."""
    count = 0
    for name in ("sockstat", "sockstat6"):  # the lists of them are slow to read
        try:
            with open(f"/proc/1/net/{name}", "rb") as file:
                words = [line.split() for line in file if line.startswith(b"TCP")]
        except FileNotFoundError:  # of a kernel without it
            continue
        for line in words:
            told = {line[at]: int(line[at + 1]) for at in range(1, len(line) - 1, 2)}
            count += told.get(b"inuse", 0) + told.get(b"tw", 0)
    return count


def map_ids(outer_uid: int, outer_gid: int, uid: int, gid: int) -> None:
    """Map one user and one group into the user namespace that this process is in."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {outer_uid} 1"),
        ("gid_map", f"{gid} {outer_gid} 1"),
    ):
        file = os.open(f"/proc/self/{name}", os.O_WRONLY)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)


def hide() -> None:
    """Let no other process of this user read or trace this one."""
    _prctl(_PR_SET_DUMPABLE, 0)


def be_ended_first() -> None:
    """Have the kernel end this process, and its forks, before others where memory is short."""
    # The file is root's while a process hides. Nobody can use the moment in which it doesn't: who
    # traces a process has to have all of its capabilities.
    _prctl(_PR_SET_DUMPABLE, 1)
    try:
        file = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(file, b"1000")
        finally:
            os.close(file)
    finally:
        _prctl(_PR_SET_DUMPABLE, 0)


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of what this process's descendants leave behind.

    With a gVisor that knows no such thing, process 1 becomes it.
    """
    with _unless_unknown():
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def restrict(seccomp: bytes) -> None:
    """Let neither this process nor its children get new rights, and filter their system calls.

    Args:
        seccomp: The filter, as an array of `struct sock_filter`.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    with _unless_unknown():
        _prctl(_PR_CAP_AMBIENT, 4)
    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, *_longs(capability, 0, 0, 0)) < 0:
            break  # the kernel knows no more of them
    if seccomp:
        program = _SockFprog(len(seccomp) // 8, seccomp)
        mode = ctypes.c_ulong(_SECCOMP_MODE_FILTER)
        result = _libc.prctl(_PR_SET_SECCOMP, mode, ctypes.byref(program), *_longs(0, 0))
        _checked(result, "seccomp")


def drop_capabilities() -> None:
    """Give up every right that this process has."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    _checked(_libc.syscall(ctypes.c_long(_CAPSET[_machine]), header, none), "capset")


@contextmanager
def _unless_unknown() -> Generator[None, None, None]:
    """Pass over what the kernel doesn't know: gVisor's does without much that Linux has."""
    try:
        yield
    except OSError as fault:
        if fault.errno != errno.EINVAL:
            raise


def _prctl(option: int, value: int) -> None:
    _checked(_libc.prctl(option, *_longs(value, 0, 0, 0)), f"prctl {option}")


def _longs(*values: int) -> list[ctypes.c_ulong]:
    return [ctypes.c_ulong(value) for value in values]


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
