"""Ways out of a sandbox, as data: each is a program that tries one, and says whether it got out.

A program calls `got(what)` with what it should not have got, and `held(why)` where it was refused.
`CALL` runs a function and says which of the two it was. Nothing here writes to anything outside of
the box: what would do harm is opened for writing, and left alone.
"""

import os
import platform
from dataclasses import dataclass

PRELUDE = """
import ctypes, errno, mmap, os, resource, signal, socket
import subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def got(what): print("GOT", what, flush=True)
def held(why=""): print("HELD", why, flush=True)
def attempt(function, *arguments):
    try:
        result = function(*arguments)
    except (OSError, MemoryError, ValueError, RuntimeError, subprocess.SubprocessError) as fault:
        held(fault)
    else:
        got(result)
def syscall(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "syscall %d" % number
def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def writable(path):
    os.close(os.open(path, os.O_WRONLY))
    return path
"""


@dataclass(frozen=True, slots=True)
class Escape:
    """One way out.

    Attributes:
        name: What it tries.
        source: How: Python, after `PRELUDE`. `{secret}` is a file of the host's that anybody there
            can read, `{port}` and `{abstract}` are where the host listens; `{outside}` is a folder
            of the host's that anybody there can write to, and `{neighbour}` another box's own.
        ends: Whether it may be ended by a limit instead of saying `held`.
        together: Whether it takes a limit of memory for all processes together to hold it.
        leaves: Files that it leaves behind, which the host then reads and writes.
    """

    name: str
    source: str
    ends: bool = False
    together: bool = False
    leaves: tuple[str, ...] = ()


def _each(name: str, source: str, *values: str) -> list[Escape]:
    return [Escape(f"{name} {value}", source.replace("VALUE", repr(value))) for value in values]


def _finds(path: str) -> Escape:
    """Look at a folder that a box may have as well, if it is its own."""
    theirs = os.stat(path) if os.path.exists(path) else None
    identity = (theirs.st_dev, theirs.st_ino) if theirs else None
    source = (
        f"try: about = os.stat({path!r})\n"
        "except OSError as fault: held(fault)\n"
        f"else: (got if (about.st_dev, about.st_ino) == {identity} else held)(about)"
    )
    return Escape(f"finds the host's {path}", source)


FILES = [
    Escape("reads a file of the host", "attempt(lambda: open({secret!r}).read())"),
    *_each(
        "reads",
        "attempt(lambda: open(VALUE).read())",
        "/etc/shadow",
        "/root/.bashrc",
    ),
    Escape(
        "reads the host's name",
        f"name = open('/etc/hostname').read().strip() if os.path.exists('/etc/hostname') else ''\n"
        f"got(name) if {platform.node()!r} in (name, os.uname().nodename) else held(name)",
    ),
    *_each("lists", "attempt(os.listdir, VALUE)", "/root", "/sys/class", "/sys/devices"),
    *[_finds(path) for path in ("/", "/etc", "/home", "/var/log", "/run", "/tmp", "/dev/shm")],
    Escape("climbs out by ..", "attempt(lambda: open('../' * 40 + {secret!r}.lstrip('/')).read())"),
    Escape(
        "climbs out through its own root",
        "attempt(lambda: open('/proc/self/root' + {secret!r}).read())",
    ),
    Escape(
        "climbs out through process 1's root",
        "attempt(lambda: open('/proc/1/root' + {secret!r}).read())",
    ),
    Escape(
        "climbs out by a second chroot",
        "attempt(lambda: (os.mkdir('d'), os.chroot('d'), os.chdir('../' * 40)))",
    ),
    Escape(
        "follows a link of its own making",
        "os.symlink({secret!r}, 'link')\nattempt(lambda: open('link').read())",
    ),
    *_each(
        "writes to",
        "attempt(lambda: os.close(os.open(VALUE, os.O_WRONLY | os.O_CREAT)))",
        "/usr/escaped",
        "/bin/escaped",
        "/etc/escaped",
        "/dev/escaped",
        "/jail/agentgym/sandboxes/jail/keeper.py",
        "/escaped",
    ),
    Escape(
        "remounts the root writable",
        "attempt(lambda: checked(libc.mount(None, b'/', None, ctypes.c_ulong(32 | 4096), None)))",
    ),
]

KERNEL = [
    *_each(
        "sets the kernel's",
        "attempt(writable, VALUE)",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/hostname",
        "/proc/sys/vm/drop_caches",
        "/proc/sysrq-trigger",
        "/proc/sys/fs/binfmt_misc/register",
    ),
    *_each(
        "reads the kernel's",
        "attempt(lambda: open(VALUE, 'rb').read(1) or held('empty'))",
        "/proc/kcore",
        "/dev/mem",
        "/dev/kmsg",
        "/sys/kernel/debug",
    ),
    Escape(
        "makes the node of a disk",
        "attempt(os.mknod, 'disk', 0o600 | 0o060000, os.makedev(8, 0))",
    ),
    Escape(
        "opens the disk that the host runs from",
        "attempt(lambda: [open('/dev/' + d, 'rb') for d in ('sda', 'vda', 'nvme0n1', 'xvda')])",
    ),
    Escape(
        "mounts a file system",
        "attempt(lambda: checked(libc.mount(b'x', b'/box/work', b'tmpfs', 0, None)))",
    ),
    Escape("mounts the new way", "attempt(syscall, 430, b'tmpfs', 0)"),
    *_each(
        "mounts",
        "kind = VALUE.encode()\n"
        "attempt(lambda: checked(libc.mount(b'x', os.getcwd().encode(), kind, 0, b'memory')))",
        "cgroup",
        "cgroup2",
    ),
    *_each(
        "leaves its cgroup by",
        "attempt(writable, VALUE)",
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/memory/cgroup.procs",
        "/sys/fs/cgroup/memory/tasks",
        "/sys/fs/cgroup/unified/cgroup.procs",
    ),
    Escape("makes a cgroup namespace", "attempt(lambda: checked(libc.unshare(0x02000000)))"),
    Escape("unmounts /proc", "attempt(lambda: checked(libc.umount2(b'/proc', 2)))"),
    Escape("makes a user namespace", "attempt(lambda: checked(libc.unshare(0x10000000)))"),
    Escape(
        "makes a user namespace by clone",
        "attempt(syscall, 56, ctypes.c_ulong(0x10000000 | 17), 0, 0, 0, 0)",
    ),
    Escape("makes a user namespace by clone3", "attempt(syscall, 435, b'\\0' * 88, 88)"),
    Escape(
        "enters process 1's namespaces",
        "attempt(lambda: checked(libc.setns(os.open('/proc/1/ns/mnt', os.O_RDONLY), 0)))",
    ),
    Escape("loads a program into the kernel", "attempt(syscall, 321, 0, b'\\0' * 64, 64)"),
    Escape("asks for an io_uring", "attempt(syscall, 425, 8, b'\\0' * 120)"),
    Escape("asks for userfaultfd", "attempt(syscall, 323, 0)"),
    Escape("asks for performance counters", "attempt(syscall, 298, b'\\0' * 128, 0, -1, -1, 0)"),
    Escape("asks for the kernel's keys", "attempt(syscall, 250, 0, -3, 1)"),
    Escape("loads a module", "attempt(syscall, 175, b'', 0, b'')"),
    Escape("reboots", "attempt(syscall, 169, 0, 0, 0, None)"),
    Escape("calls in the numbers of x32", "attempt(syscall, 0x40000000 + 39)"),
    Escape(
        "opens a file by its handle",
        "attempt(syscall, 304, -100, b'\\0' * 64, 0)",
    ),
    Escape("sets the clock", "attempt(time.clock_settime, time.CLOCK_REALTIME, time.time())"),
    Escape("sets the host's name", "attempt(socket.sethostname, 'escaped')"),
]

PRIVILEGES = [
    Escape("becomes root", "attempt(os.setuid, 0)"),
    Escape("becomes another user", "attempt(os.setresuid, 65534, 65534, 65534)"),
    Escape("takes another group", "attempt(os.setgroups, [0])"),
    Escape(
        "holds a capability",
        "held = [l for l in open('/proc/self/status') if l.startswith(('CapE', 'CapP', 'CapB')) "
        "and int(l.split()[1], 16)]\nprint('GOT' if held else 'HELD', held)",
    ),
    Escape(
        "runs a setuid program",
        "os.system('cp /usr/bin/id id; chmod 4755 id')\n"
        "attempt(lambda: checked(-1 if os.stat('id').st_uid else 0))",
    ),
    Escape(
        "becomes root through su",
        "r = subprocess.run(['su', '-c', 'id'], capture_output=True, text=True, stdin=-3)\n"
        "got(r.stdout) if 'uid=0' in r.stdout else held(r.stderr)",
    ),
    Escape(
        "widens its limits",
        "attempt(resource.setrlimit, resource.RLIMIT_AS, (1 << 40, 1 << 40))",
    ),
    Escape("runs before everybody", "attempt(os.nice, -10)"),
]

PROCESSES = [
    Escape(
        "kills process 1",
        "try: os.kill(1, 9)\n"
        "except OSError: pass\n"
        "time.sleep(0.2)\nprint('HELD' if os.path.exists('/proc/1') else 'GOT')",
    ),
    Escape(
        "sends process 1 every signal",
        "for number in signal.valid_signals():\n"
        "    try: os.kill(1, number)\n"
        "    except OSError: pass\n"
        "time.sleep(0.2)\nprint('HELD' if os.path.exists('/proc/1') else 'GOT')",
    ),
    *_each(
        "limits process 1's",
        "attempt(lambda: resource.prlimit(1, getattr(resource, VALUE), (1, 1)))",
        "RLIMIT_CPU",
        "RLIMIT_NOFILE",
        "RLIMIT_AS",
    ),
    *_each(
        "slows process 1 by",
        "attempt(lambda: eval(VALUE))",
        "os.setpriority(os.PRIO_PROCESS, 1, 19)",
        "os.sched_setaffinity(1, os.sched_getaffinity(0))",
        "os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))",
    ),
    *[
        Escape(
            name,
            f"report = {header}\n"
            "report = len(report).to_bytes(4, 'little') + bytes(4) + report\n"
            "while report: report = report[os.write(3, report):]\nheld()",
        )
        for name, header in (
            ("reports what is too deep", "b'[' * 60000"),
            ("reports what takes much memory to read", "b'[[' + b'[],' * 4000000 + b'[]]]'"),
            ("reports sizes that aren't", 'b\'{"value": -1, "figures": [1e999, null, -4]}\''),
        )
    ],
    Escape(
        "sees a process of the host",
        "others = [p for p in os.listdir('/proc') if p.isdigit() "
        "and int(p) not in (1, os.getpid(), os.getppid())]\n"
        "print('GOT' if others else 'HELD', others)",
    ),
    Escape("traces process 1", "attempt(lambda: checked(libc.ptrace(16, 1, None, None)))"),
    Escape(
        "traces a child",
        "pid = os.fork() or time.sleep(5)\n"
        "attempt(lambda: checked(libc.ptrace(16, pid, None, None)))",
    ),
    Escape("reads process 1's memory", "attempt(lambda: open('/proc/1/mem', 'rb').read(1))"),
    Escape("reads process 1's maps", "attempt(lambda: open('/proc/1/maps').read())"),
    Escape("reads process 1's environment", "attempt(lambda: open('/proc/1/environ').read())"),
    Escape("writes to process 1's memory", "attempt(writable, '/proc/1/mem')"),
    Escape("writes to process 1's output", "attempt(writable, '/proc/1/fd/1')"),
    Escape("has process 1 ended first", "attempt(writable, '/proc/1/oom_score_adj')"),
    Escape("takes process 1's descriptors", "attempt(os.listdir, '/proc/1/fd')"),
    Escape("reads memory across processes", "attempt(syscall, 310, 1, None, 0, None, 0, 0)"),
    Escape("takes a descriptor of process 1", "attempt(syscall, 438, os.pidfd_open(1), 0, 0)"),
    Escape(
        "holds a descriptor of its keeper's",
        "extra = [f for f in os.listdir('/proc/self/fd') if int(f) > 4]\n"
        "print('GOT' if extra else 'HELD', extra)",
    ),
    Escape(
        "ignores its end",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "time.sleep(60)\n"
        "got('more time')",
        ends=True,
    ),
    Escape(
        "ignores the CPU's limit",
        "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        ends=True,
    ),
    Escape(
        "bombs with forks", "while True:\n    try: os.fork()\n    except OSError: pass", ends=True
    ),
    Escape(
        "bombs with threads",
        "def more():\n"
        "    while True:\n"
        "        try: threading.Thread(target=more).start()\n"
        "        except RuntimeError: time.sleep(0.01)\n"
        "more()",
        ends=True,
    ),
]

RESOURCES = [
    Escape("takes all memory", "attempt(lambda: len(bytearray(1 << 33)))"),
    Escape("maps all memory", "attempt(lambda: mmap.mmap(-1, 1 << 33))"),
    Escape(
        "takes more memory in many processes than one may have",
        "import select\n"
        "said, saying = os.pipe()\n"
        "pids, count, dead = [], 0, False\n"
        "for _ in range(7):\n"
        "    pids.append(os.fork())\n"
        "    if pids[-1] == 0:\n"
        "        kept = bytearray(60 << 20)\n"
        "        os.write(saying, b'.')\n"
        "        time.sleep(9)\n"
        "while count < 7 and not dead:\n"
        "    if select.select([said], [], [], 0.02)[0]: count += len(os.read(said, 7))\n"
        "    if count == 7: time.sleep(0.1)\n"
        "    dead = os.waitpid(-1, os.WNOHANG) != (0, 0)\n"
        "(held if dead else got)('%d processes' % count)",
        ends=True,
        together=True,
    ),
    Escape("fills the disk", "attempt(lambda: open('big', 'wb').write(b'x' * (200 << 20)))"),
    Escape("fills /tmp", "attempt(lambda: open('/tmp/big', 'wb').write(b'x' * (200 << 20)))"),
    Escape(
        "fills shared memory",
        "attempt(lambda: open('/dev/shm/big', 'wb').write(b'x' * (200 << 20)))",
    ),
    Escape(
        "fills the disk file by file",
        "def fill():\n"
        "    for i in range(40):\n"
        "        with open(f'f{i}', 'wb') as f: f.write(b'x' * (8 << 20))\n"
        "attempt(fill)",
    ),
    Escape(
        "takes every inode",
        "def fill():\n    for i in range(200000): open(f'f{i}', 'w').close()\nattempt(fill)",
    ),
    Escape(
        "makes a file that seems endless",
        "attempt(lambda: os.truncate(os.open('s', os.O_CREAT | os.O_RDWR), 1 << 40))",
    ),
    Escape("makes a file of memory", "attempt(os.memfd_create, 'x')"),
    Escape("makes a file of secret memory", "attempt(syscall, 447, 0)"),
    *_each(
        "takes what outlives it by",
        "attempt(lambda: checked(getattr(libc, VALUE)(0, 1 << 20, 0o1600)))",
        "shmget",
        "semget",
    ),
    Escape("keeps messages in the kernel", "attempt(lambda: checked(libc.msgget(0, 0o1600)))"),
    Escape(
        "keeps messages in a queue with a name",
        "attempt(lambda: checked(libc.mq_open(b'/q', os.O_CREAT | os.O_RDWR, 0o600, None)))",
    ),
    Escape("watches files", "attempt(lambda: checked(libc.inotify_init1(0)))"),
    Escape("keeps every descriptor", "attempt(lambda: [os.dup(0) for _ in range(100000)])"),
    Escape(
        "floods its output",
        "import itertools\nfor _ in itertools.count(): sys.stdout.write('x' * 65536)",
        ends=True,
    ),
    Escape(
        "dumps its core",
        "for size in (0, 1 << 20):\n"
        "    try: resource.setrlimit(resource.RLIMIT_CORE, (size, size))\n"
        "    except (OSError, ValueError): pass\n"
        "limit = resource.getrlimit(resource.RLIMIT_CORE)\n"
        "(held if limit == (1, 1) else got)(limit)",
    ),
]

NETWORK = [
    Escape(
        "connects to the host's loopback",
        "attempt(lambda: socket.create_connection(('127.0.0.1', {port}), 2))",
    ),
    Escape(
        "connects to the host's abstract socket",
        "s = socket.socket(socket.AF_UNIX)\nattempt(s.connect, '\\0' + {abstract!r})",
    ),
    Escape(
        "connects to the Docker daemon",
        "s = socket.socket(socket.AF_UNIX)\nattempt(s.connect, '/var/run/docker.sock')",
    ),
    Escape(
        "connects to another machine",
        "attempt(lambda: socket.create_connection(('192.0.2.1', 80), 2))",
    ),
    Escape(
        "connects over IPv6", "attempt(lambda: socket.create_connection(('2001:db8::1', 80), 2))"
    ),
    Escape(
        "sends a datagram",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "attempt(s.sendto, b'x', ('192.0.2.1', 53))",
    ),
    Escape("asks for a name", "attempt(socket.getaddrinfo, 'example.org', 80)"),
    Escape(
        "asks for the cloud's metadata",
        "attempt(lambda: socket.create_connection(('169.254.169.254', 80), 2))",
    ),
    Escape(
        "opens a raw socket",
        "attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)",
    ),
    Escape(
        "opens a socket of another protocol",
        "attempt(socket.socket, socket.AF_INET, socket.SOCK_STREAM, 262)",
    ),
    Escape("opens a pair of netlink sockets", "attempt(socket.socketpair, 16, socket.SOCK_RAW)"),
    Escape("opens a packet socket", "attempt(socket.socket, 17, socket.SOCK_RAW, 0)"),
    Escape("opens a netlink socket", "attempt(socket.socket, 16, socket.SOCK_RAW, 0)"),
    Escape(
        "sees an interface of the host",
        "names = [line.split(':')[0].strip() for line in list(open('/proc/net/dev'))[2:]]\n"
        "print('HELD' if names == ['lo'] else 'GOT', names)",
    ),
]

# In a box that may reach LISTED alone, over a proxy.
LISTED = "192.0.2.1:9"
_PROXY = """
def asked(request):
    with socket.create_connection(("127.0.0.1", 3128), 1) as proxy:
        proxy.sendall(request.encode("latin-1"))
        answer = proxy.recv(1000)
        return (held if answer.split(b" ")[1:2] >= [b"400"] else got)(answer)
"""
PROXY = [
    *[
        Escape(
            f"asks the proxy for {host}",
            f"{_PROXY}asked('CONNECT {host} HTTP/1.1\\r\\n\\r\\n')",
        )
        for host in (
            *("127.0.0.1:{port}", "localhost:{port}", "LOCALHOST.:{port}", "[::1]:{port}"),
            *("127.1:{port}", "2130706433:{port}", "0x7f.0.0.1:{port}", "0.0.0.0:{port}"),
            *("[::ffff:127.0.0.1]:{port}", "[::]:{port}", "192.0.2.1:9@127.0.0.1:{port}"),
            *("169.254.169.254:80", "[fd00:ec2::254]:80", "[::ffff:a9fe:a9fe]:80"),
            *("example.org:443", "192.0.2.1:80", "192.0.2.1:65545", "192.0.2.1"),
        )
    ],
    *[
        Escape(
            f"asks the proxy for the page {url}",
            f"{_PROXY}asked('GET {url} HTTP/1.1\\r\\nHost: {LISTED}\\r\\n\\r\\n')",
        )
        for url in (
            *("http://127.0.0.1:{port}/", "http://169.254.169.254/latest/meta-data/"),
            *("http://example.org/", "http://192.0.2.1:9@127.0.0.1:{port}/", "/"),
            *("http://127.0.0.1:{port}#@192.0.2.1:9/", "http://127.0.0.1:{port}\\\\@192.0.2.1:9/"),
            *("file:///etc/passwd", "ftp://127.0.0.1:{port}/"),
        )
    ],
    Escape(
        "speaks SOCKS to the proxy",
        "proxy = socket.create_connection(('127.0.0.1', 3128), 1)\n"
        "proxy.sendall(b'\\x05\\x01\\x00\\r\\n\\r\\n')\n"
        "answer = proxy.recv(100)\n(got if answer.startswith(b'\\x05') else held)(answer)",
    ),
    Escape(
        "takes the proxy's place",
        "s = socket.socket()\n"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
        "attempt(s.bind, ('127.0.0.1', 3128))",
    ),
    Escape(
        "takes all of the proxy's connections",
        "attempt(lambda: [socket.create_connection(('127.0.0.1', 3128), 0.3) for _ in range(99)])",
    ),
    Escape(
        "has a way to another network",
        "routes = [l.split()[0] for l in list(open('/proc/net/route'))[1:]]\n"
        "others = [r for r in routes if r != 'lo']\n(got if others else held)(routes)",
    ),
    Escape(
        "takes its loopback down",
        "import fcntl\n"
        "attempt(fcntl.ioctl, socket.socket(), 0x8914, b'lo'.ljust(16, b'\\0') + bytes(24))",
    ),
]

ESCAPES = [*FILES, *KERNEL, *PRIVILEGES, *PROCESSES, *RESOURCES, *NETWORK]
