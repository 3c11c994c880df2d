"""A box that is closed is emptied and handed out again, with nothing of the last lease in it."""

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agentgym.errors import InfraError, UsageError
from agentgym.sandbox import Limit, Sandbox, make_sandbox
from agentgym.sandboxes import containers, idle, zygotes
from agentgym.sandboxes.bubblewrap_command import Recipe
from agentgym.sandboxes.jail import wire
from agentgym.sandboxes.zygotes import zygote

pytestmark = pytest.mark.integration

Make = Callable[..., Sandbox]

LITTER = """
import os, pty, signal, socket, subprocess, sys, time
for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(signal_number, signal.SIG_IGN)
here = os.getcwd()
for folder in ("/tmp", "/dev/shm", here):
    with open(folder + "/left", "w") as file:
        file.write("secret")
    os.makedirs(folder + "/a/b/.c")
    os.symlink("/", folder + "/a/root")
    os.symlink("left", folder + "/link")
    os.link(folder + "/left", folder + "/hard")
    socket.socket(socket.AF_UNIX).bind(folder + "/a/socket")
    with open(os.fsencode(folder) + b"/a/\\xff\\n", "w") as file:
        file.write("secret")
    os.chmod(folder + "/a/b", 0)
    os.chmod(folder + "/a", 0)
master, slave = pty.openpty()
if os.fork() == 0:
    os.setsid()
    time.sleep(600)
elif os.fork() == 0:
    os.chdir("/dev/shm")
    time.sleep(600)
"""

LOOK = """
import os
found = [os.path.join(path, name)
         for folder in ("/tmp", "/dev/shm", os.getcwd())
         for path, folders, files in os.walk(folder) for name in folders + files]
print(found)
print(sorted(int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) > 2
             and int(name) != os.getpid()))
print([name for name in os.listdir("/dev/pts") if name.isdigit()])
print(sorted(set(os.environ) & {"SECRET"}), globals().get("x"))
"""


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin without boxes that other tests have left, and leave no containers to them."""
    kept = zygote(Recipe(None, "/usr/bin/python3", ())).idle
    while (left := kept.take(patient=True)) is not None:
        left.end()
    # However few there are, one that still empties itself is waited for.
    monkeypatch.setattr(zygotes, "_PROCESSORS", -1)
    yield
    containers.close_all()


def member(box: Any) -> Any:
    """Return what is leased: a zygote's fork, or a container."""
    return getattr(box, "_fork", None) or box._container


def looked(box: Sandbox) -> list[str]:
    return box.exec(LOOK).stdout.splitlines()


def test_a_box_that_was_littered_is_empty_for_the_next(make: Make) -> None:
    with make(keep=1) as box:
        before = looked(box)
        first = member(box)
    options: dict[str, Any] = {"keep": 1, "stateful": True, "env": {"SECRET": "1"}}
    with make(**options, files={"given": "secret"}) as box:
        assert member(box) is first
        assert box.exec("x = 'secret'").ok
        littered = box.exec(LITTER)
        assert littered.ok, littered.stderr
        assert box.exec(["sh", "-c", "sleep 600 &"]).ok
    with make(keep=1, stateful=True) as box:
        assert member(box) is first
        assert looked(box) == before
        # And it is a box as any other.
        box.put("a/left", "mine")
        assert box.exec("open('a/left').read()").value == "'mine'"


NOBODY_S = """
import fcntl, os, socket
one, other = socket.socketpair()
named = socket.socket(socket.AF_UNIX)
named.bind("\\0left-by-the-last-lease")
named.listen()
locked = open("/usr/lib/os-release")
fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
# Sockets that lie in each other live until the kernel looks for such, whoever has ended.
held = [one.fileno(), other.fileno(), named.fileno(), locked.fileno()]
socket.send_fds(one, [b"x"], held)
os._exit(0)
"""
LOOK_AGAIN = """
import fcntl
print("left-by" in open("/proc/net/unix").read())
fcntl.flock(open("/usr/lib/os-release"), fcntl.LOCK_EX | fcntl.LOCK_NB)
"""


def test_sockets_that_are_nobody_s_are_gone(make: Make) -> None:
    with make(keep=1) as box:
        assert box.exec(NOBODY_S).ok
        first = member(box)
    with make(keep=1) as box:
        assert member(box) is first
        looked_again = box.exec(LOOK_AGAIN)
        assert (looked_again.stdout, looked_again.stderr) == ("False\n", "")


def test_a_box_that_is_closed_by_a_signal_while_it_works_is_not_kept(make: Make) -> None:
    box = make(keep=1)
    first = member(box)

    def close(*_: object) -> None:
        box.close()
        raise TimeoutError("a handler's own")

    before = signal.signal(signal.SIGUSR1, close)
    try:
        threading.Timer(0.3, signal.raise_signal, (signal.SIGUSR1,)).start()
        with pytest.raises((InfraError, TimeoutError)):
            box.exec("import time; time.sleep(5)")
    finally:
        signal.signal(signal.SIGUSR1, before)
    with make(keep=1) as other:
        assert member(other) is not first
        assert other.exec("print(1)").stdout == "1\n"


def test_an_answer_to_something_else_does_not_make_a_box_empty() -> None:
    with make_sandbox(modules=("tabnanny",)) as box:
        first = member(box)
        box.put("a", "secret")
        wire.send(first.connection, {"op": "get", "path": "a", "most": 10}, b"")
    with make_sandbox(modules=("tabnanny",)) as box:
        assert member(box) is not first
        assert box.exec("print(1)").stdout == "1\n"


def test_a_lease_has_the_limits_that_it_asks_for(make: Make) -> None:
    fill = "open('big', 'wb').write(bytes(40 << 20))"
    with make(keep=1, disk_mb=64) as box:
        assert box.exec(fill).ok
    with make(keep=1, disk_mb=16) as box:
        assert box.exec(fill).limit is Limit.DISK
    with make(keep=1, disk_mb=64) as box:
        assert box.exec(fill).ok


def test_a_box_is_closed_for_who_has_closed_it(make: Make) -> None:
    box = make(keep=1)
    box.close()
    with make(keep=1) as other:
        assert member(other) is member(box)
        box.close()
        for use in (lambda: box.exec("1"), lambda: box.put("a", "1"), lambda: box.get("a")):
            with pytest.raises(UsageError, match="closed"):
                use()
        assert other.exec("print(1)").stdout == "1\n"


def test_no_more_are_kept_than_wanted(make: Make) -> None:
    boxes = [make(keep=2) for _ in range(4)]
    members = {id(member(box)): member(box) for box in boxes}
    for box in boxes:
        box.close()
    again = [make(keep=0) for _ in range(4)]
    assert len({id(member(box)) for box in again} & set(members)) == 2


def test_a_box_that_is_at_work_is_not_kept() -> None:
    box = make_sandbox(wall_seconds=60)
    first = member(box)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(box.exec, "import time; time.sleep(60)")
        time.sleep(0.5)
        box.close()
        with pytest.raises(UsageError):
            running.result(5)
    with make_sandbox() as other:
        assert member(other) is not first


def test_a_box_has_its_share_of_leases(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "_LEASES", 3)
    leased = list[int]()
    for _ in range(4):
        with make(keep=1, modules=("sched",)) as box:
            leased.append(member(box).leases)
    assert leased == [1, 2, 3, 1]


def test_what_cannot_be_emptied_is_ended(make: Make) -> None:
    deep = """
import os
made = 0
try:
    while made < 1500:
        os.mkdir("d")
        os.chdir("d")
        made += 1
except OSError:
    pass
print(made > 1100)
"""
    with make(keep=1, disk_mb=64) as box:
        box.exec(deep)
        first = member(box)
    with make(keep=1, disk_mb=64) as box:
        # bubblewrap drops the file system, whatever lies in it; a container has to delete it.
        assert (member(box) is first) == (box.exec("").isolation == "bubblewrap")
        assert box.exec("import os; print(os.listdir('.'))").stdout == "[]\n"


def polled(leased: Any, event: int) -> None:
    """Wait until something has happened at a member's connection."""
    poll = select.poll()
    poll.register(leased.connection.fileno(), event)
    assert any(happened & event for _, happened in poll.poll(10_000))


@pytest.mark.parametrize("said", ["nothing yet", "that it is empty"])
def test_one_that_dies_while_it_waits_is_passed_over(said: str) -> None:
    with make_sandbox(modules=("bisect",)) as box:
        first = member(box)
    if said != "nothing yet":
        polled(first, select.POLLIN)
    zygote(Recipe(None, "/usr/bin/python3", ("bisect",))).kill(first)
    polled(first, select.POLLHUP)
    with make_sandbox(modules=("bisect",)) as box:
        assert member(box) is not first
        assert box.exec("print(1)").stdout == "1\n"


def test_one_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "_SECONDS", 0.3)
    with make_sandbox(modules=("heapq",)) as box:
        first = member(box)
        # A request that is never complete keeps it waiting.
        first.connection.sendall(b"\xff")
    began = time.monotonic()
    with make_sandbox(modules=("heapq",)) as box:
        assert member(box) is not first
    assert time.monotonic() - began < 5


def test_a_member_that_failed_is_not_kept() -> None:
    box = make_sandbox(modules=("hmac",))
    first = member(box)
    zygote(Recipe(None, "/usr/bin/python3", ("hmac",))).kill(first)
    with pytest.raises(InfraError):
        box.exec("1")
    box.close()
    with make_sandbox(modules=("hmac",)) as other:
        assert member(other) is not first


def test_less_than_none_is_refused() -> None:
    with pytest.raises(UsageError, match="keep is 0 or more; got -1"):
        make_sandbox(keep=-1)


def test_while_one_is_being_emptied_another_is_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygotes, "_PROCESSORS", 2)
    parent = zygote(Recipe(None, "/usr/bin/python3", ("stringprep",)))
    for _ in range(50):
        with make_sandbox(modules=("stringprep",)) as box:
            assert box.exec("print(1)").stdout == "1\n"
    assert len(parent.idle.members) <= 3


def test_many_threads_share_what_is_kept() -> None:
    def one(number: int) -> str:
        with make_sandbox(keep=4, modules=("calendar",)) as box:
            box.exec(f"open('n', 'w').write('{number}')")
            return box.exec("import os; print(open('n').read(), os.listdir('.'))").stdout

    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(one, range(100)))
    assert told == [f"{number} ['n']\n" for number in range(100)]


def test_a_fork_does_not_share_what_is_kept() -> None:
    with make_sandbox(modules=("zlib",)):
        pass
    pid = os.fork()
    if pid == 0:
        try:
            with make_sandbox(modules=("zlib",)) as box:
                os._exit(0 if box.exec("print(1)").stdout == "1\n" else 1)
        finally:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    with make_sandbox(modules=("zlib",)) as box:
        assert box.exec("print(1)").stdout == "1\n"
