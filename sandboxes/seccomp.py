"""A filter of system calls, assembled by hand: what a program in a sandbox has no business with.

Namespaces and dropped capabilities already refuse nearly all of it. The filter keeps the kernel's
less-trodden code out of reach, where most ways out of a container have begun: a call on the list
fails with EPERM, as it does under Docker's default profile, which the list follows. What would hold
memory that no limit counts, or share a limit with other boxes, is not there at all (ENOSYS).
"""

import platform
import struct
from collections.abc import Iterable, Sequence

_LOAD, _EQUAL, _ANY_BIT, _AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in `struct seccomp_data`
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS, _EPROTONOSUPPORT, _EAFNOSUPPORT = 1, 38, 93, 97
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000
_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW… flag, NEWTIME too
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_F_SETSIG = 10
_UNIX = 1
_FAMILIES = (_UNIX, 2, 10)  # and IPv4, IPv6: no netlink, no packets, no virtual machine's sockets
_PROTOCOLS = (0, 1, 6, 17)  # the family's own, ICMP, TCP, UDP: no multipath TCP, no SCTP
_RLIMIT_CORE = 4

# Numbers of x86_64, then of aarch64; -1 where a machine has no such call.
_REFUSED = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, -1),
    "iopl": (172, -1),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "migrate_pages": (256, 238),
    "mknod": (133, -1),
    "mknodat": (259, 33),
    "modify_ldt": (154, -1),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
    "vmsplice": (278, 75),
}
_ABSENT = {
    "inotify_init": (253, -1),
    "inotify_init1": (294, 26),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "msgget": (68, 186),
    "semget": (64, 190),
    "shmget": (29, 194),
    # A timer could have SIGCONT sent to a session that is to stand still.
    "timer_create": (222, 107),
}
_CLONE, _CLONE3, _IOCTL, _FCNTL = (56, 220), (435, 435), (16, 29), (72, 25)
_SOCKET, _SOCKETPAIR = (41, 198), (53, 199)
_PRLIMIT, _SETRLIMIT = (302, 261), (160, 164)


def supported() -> bool:
    """Whether there is a filter for this machine."""
    return _machine() in _ARCHITECTURES


def _machine() -> str:
    """Return the machine as Linux calls it, which a Docker client on another system may not."""
    machine = platform.machine()
    return {"arm64": "aarch64", "AMD64": "x86_64"}.get(machine, machine)


def seccomp_filter(refused: Iterable[str] = tuple(_REFUSED)) -> bytes:
    """Return the filter, an array of `struct sock_filter`; empty where there is none.

    Args:
        refused: Names of system calls that fail with EPERM.
    """
    machine = _machine()
    if machine not in _ARCHITECTURES:
        return b""
    column = list(_ARCHITECTURES).index(machine)
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _ERRNO | _ENOSYS)]
    for name in refused:
        number = _REFUSED[name][column]
        if number >= 0:
            code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | _EPERM)]
    for numbers in _ABSENT.values():
        if numbers[column] >= 0:
            code += [(_EQUAL, 0, 1, numbers[column]), _refuse(_ENOSYS)]
    # A filter can't look behind the pointer that clone3 takes; without it libc falls back on clone.
    code += [(_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, _ERRNO | _ENOSYS)]
    code += _on_argument(_CLONE[column], 0, [(_ANY_BIT, 0, 1, _NEW_NAMESPACES), _refuse(_EPERM)])
    code += _on_argument(
        _IOCTL[column],
        1,
        [(_EQUAL, 1, 0, _TIOCSTI), (_EQUAL, 0, 1, _TIOCLINUX), _refuse(_EPERM)],
    )
    # Nor could a descriptor that has something to say.
    code += _on_argument(_FCNTL[column], 1, [(_EQUAL, 0, 1, _F_SETSIG), _refuse(_EPERM)])
    # Limits are a process's own: process 1 is of the same user, and would die of a CPU limit. That
    # of cores keeps them from the host's handler as 1 and not as 0, so that setting it is in vain.
    code += _on_argument(
        _PRLIMIT[column],
        0,
        [
            (_EQUAL, 1, 0, 0),
            _refuse(_EPERM),
            _argument(1),
            (_EQUAL, 0, 5, _RLIMIT_CORE),
            _argument(2),
            (_EQUAL, 0, 2, 0),
            _argument(2, upper=True),
            (_EQUAL, 1, 0, 0),
            _refuse(0),
        ],
    )
    code += _on_argument(_SETRLIMIT[column], 0, [(_EQUAL, 0, 1, _RLIMIT_CORE), _refuse(0)])
    judge = [*_one_of(_FAMILIES, _EAFNOSUPPORT), _argument(2)]
    judge += _one_of(_PROTOCOLS, _EPROTONOSUPPORT)
    code += _on_argument(_SOCKET[column], 0, judge)
    code += _on_argument(_SOCKETPAIR[column], 0, _one_of((_UNIX,), _EAFNOSUPPORT))
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in code)


_Instruction = tuple[int, int, int, int]


def _refuse(error: int) -> _Instruction:
    return (_RETURN, 0, 0, _ERRNO | error)


def _argument(number: int, *, upper: bool = False) -> _Instruction:
    """Return the instruction that takes half of an argument up."""
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * number + 4 * upper)


def _one_of(allowed: Sequence[int], error: int) -> list[_Instruction]:
    """Return code that goes on with what is allowed only."""
    passing = [(_EQUAL, len(allowed) - k, 0, value) for k, value in enumerate(allowed)]
    return [*passing, _refuse(error)]


def _on_argument(number: int, argument: int, judge: list[_Instruction]) -> list[_Instruction]:
    """Return code that judges the lower half of a call's argument, and allows what it lets pass."""
    body = [_argument(argument), *judge, (_RETURN, 0, 0, _ALLOW)]
    return [(_EQUAL, 0, len(body), number), *body]
