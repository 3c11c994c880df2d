"""The filter of system calls, run by an interpreter of its few instructions."""

import errno
import struct

import pytest

from agentgym.sandboxes import seccomp
from agentgym.sandboxes.seccomp import seccomp_filter

ALLOW, KILL = 0x7FFF0000, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NUMBERS = {
    "getpid": (39, 172),
    "mount": (165, 40),
    "unshare": (272, 97),
    "ptrace": (101, 117),
    "clone": (56, 220),
    "ioctl": (16, 29),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "prlimit64": (302, 261),
    "setrlimit": (160, 164),
    "memfd_create": (319, 279),
    "shmget": (29, 194),
    "inotify_init1": (294, 26),
}
NUMBERS = {
    machine: {name: numbers[column] for name, numbers in _NUMBERS.items()}
    for column, machine in enumerate(ARCHITECTURES)
}


def refused(error: int) -> int:
    return 0x00050000 | error


def verdict(code: bytes, number: int, architecture: int, *arguments: int) -> int:
    """Return what the kernel would do: the classic BPF machine, as far as the filter uses it."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *padded)
    instructions = list(struct.iter_unpack("<HBBI", code))
    accumulator = at = 0
    while True:
        operation, yes, no, operand = instructions[at]
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, operand)
            case 0x15:
                at += yes if accumulator == operand else no
            case 0x35:
                at += yes if accumulator >= operand else no
            case 0x45:
                at += yes if accumulator & operand else no
            case 0x06:
                return operand
            case _:
                raise AssertionError(f"no instruction {operation:#x}")


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_what_is_let_through_and_what_is_not(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp.platform, "machine", lambda: machine)
    code, architecture, numbers = seccomp_filter(), ARCHITECTURES[machine], NUMBERS[machine]

    def call(name: str, *arguments: int) -> int:
        return verdict(code, numbers[name], architecture, *arguments)

    assert call("getpid") == ALLOW
    for name in ("mount", "unshare", "ptrace"):
        assert call(name) == refused(errno.EPERM)
    assert call("clone", 17) == ALLOW  # fork
    assert call("clone", 0x3D0F00) == ALLOW  # a thread
    for namespace in (0x10000000, 0x00020000, 0x20000000, 0x40000000, 0x80):
        assert call("clone", namespace | 17) == refused(errno.EPERM)
    assert verdict(code, 435, architecture) == refused(errno.ENOSYS)
    assert [call("socket", family) for family in (1, 2, 10)] == [ALLOW] * 3
    assert [call("socket", family) for family in (16, 17, 40)] == [refused(errno.EAFNOSUPPORT)] * 3
    assert call("ioctl", 0, 0x5401) == ALLOW
    assert call("ioctl", 0, 0x5412) == call("ioctl", 0, 0x541C) == refused(errno.EPERM)
    assert call("prlimit64", 0) == ALLOW
    assert call("prlimit64", 1) == refused(errno.EPERM)
    # A limit of cores can be read, and is set in vain; others can be set.
    assert call("prlimit64", 0, 4, 0) == call("prlimit64", 0, 7, 0x7FFF00001000) == ALLOW
    for pointer in (0x1000, 0x7FFF_0000_0000):
        assert call("prlimit64", 0, 4, pointer) == refused(0)
    assert (call("setrlimit", 4), call("setrlimit", 7)) == (refused(0), ALLOW)
    for name in ("memfd_create", "shmget", "inotify_init1"):
        assert call(name) == refused(errno.ENOSYS)
    assert [call("socket", 2, 1, protocol) for protocol in (0, 6, 17)] == [ALLOW] * 3
    for protocol in (132, 262):
        assert call("socket", 2, 1, protocol) == refused(errno.EPROTONOSUPPORT)
    assert call("socketpair", 1, 1, 0) == ALLOW
    assert call("socketpair", 16, 3, 0) == refused(errno.EAFNOSUPPORT)
    # Only the lower half of a request counts, as in the kernel.
    assert call("ioctl", 0, 0x1_0000_5412) == refused(errno.EPERM)


def test_calls_of_another_architecture_are_deadly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp.platform, "machine", lambda: "x86_64")
    code = seccomp_filter()
    assert verdict(code, 20, 0x40000003) == KILL  # i386's getpid
    assert verdict(code, 0x40000000 + 39, ARCHITECTURES["x86_64"]) == refused(errno.ENOSYS)


def test_a_machine_without_numbers_has_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp.platform, "machine", lambda: "riscv64")
    assert seccomp_filter() == b""
    assert not seccomp.supported()
