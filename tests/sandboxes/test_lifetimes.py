"""How long zygotes, boxes and what runs in them live: as long as they are wanted, no longer."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from leavings import descendants, settled

from agentgym.errors import InfraError, UsageError
from agentgym.sandbox import make_sandbox
from agentgym.sandboxes import zygotes
from agentgym.sandboxes.bubblewrap import Bubblewrap
from agentgym.sandboxes.bubblewrap_command import Recipe
from agentgym.sandboxes.zygotes import Zygote, zygote

pytestmark = pytest.mark.integration


def test_boxes_share_a_zygote_and_a_dead_one_is_replaced() -> None:
    recipe = Recipe(None, "/usr/bin/python3", ())
    first = zygote(recipe)
    with make_sandbox() as one:
        assert isinstance(one, Bubblewrap)
        assert zygote(recipe) is first
        first.close()
        with pytest.raises(InfraError):
            # The program that was started beforehand may still run.
            [one.exec("1") for _ in range(3)]
    assert zygote(recipe) is not first
    with make_sandbox() as two:
        assert two.exec("print(1)").stdout == "1\n"


def _runs(pid: str) -> bool:
    """Whether there is such a process, and more than what its parent has still to hear of."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_zygote_that_hangs_is_ended_too() -> None:
    hanging = Zygote(Recipe(None, "/usr/bin/python3", ()))
    children = Path(f"/proc/{hanging.pid}/task/{hanging.pid}/children").read_text().split()
    for pid in children:
        os.kill(int(pid), signal.SIGSTOP)
        inner = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for zygote_pid in inner:
            os.kill(int(zygote_pid), signal.SIGSTOP)
    hanging.close()
    deadline = time.monotonic() + 10
    while any(map(_runs, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_runs, children))


def test_a_zygote_outlives_the_thread_that_started_it() -> None:
    with ThreadPoolExecutor(1) as thread:
        box = thread.submit(make_sandbox, modules=("sndhdr",)).result()
    time.sleep(0.1)
    assert box.exec("print(1)").stdout == "1\n"
    box.close()


def test_a_zygote_does_not_outlive_a_host_that_is_killed() -> None:
    source = """
import time
from agentgym.sandbox import make_sandbox
from agentgym.sandboxes.bubblewrap_command import Recipe
from agentgym.sandboxes.zygotes import zygote
box = make_sandbox()
print(zygote(Recipe(None, "/usr/bin/python3", ())).pid, flush=True)
box.exec("import time; time.sleep(60)", wall_seconds=60)
"""
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        pid = int(host.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        host.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


def test_a_program_to_come_that_dies_is_replaced() -> None:
    recipe = Recipe(None, "/usr/bin/python3", ("nturl2path",))
    with make_sandbox(modules=recipe.modules) as box:
        assert box.exec("print(1)").stdout == "1\n"
        # One of this box and one of the box to spare, soon.
        assert settled(lambda: len(_waiting(zygote(recipe))), 2) == 2
        waiting = _waiting(zygote(recipe))
        for pid in waiting:
            os.kill(pid, signal.SIGKILL)
        assert settled(lambda: any(_runs(str(pid)) for pid in waiting), False) is False
        assert box.exec("print(2)").stdout == "2\n"
    with make_sandbox(modules=recipe.modules, keep=0) as again:
        assert again.exec("print(3)").stdout == "3\n"


def _waiting(parent: Zygote) -> list[int]:
    """Return the programs that wait for their orders: they have given up their rights."""
    found = list[int]()
    for pid in descendants(parent.pid):
        with suppress(OSError):
            rights = re.search(r"^CapPrm:\s*0+$", Path(f"/proc/{pid}/status").read_text(), re.M)
            if rights is not None and not descendants(pid):
                found.append(pid)
    return found


def test_closing_ends_what_is_under_way() -> None:
    box = make_sandbox(wall_seconds=60)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(box.exec, "import time; time.sleep(60)")
        while not _busy(box):
            time.sleep(0.01)
        time.sleep(0.2)  # until it has not only the box but an answer to wait for
        box.close()
        with pytest.raises(UsageError, match="closed while it was at work"):
            running.result(5)


def _busy(box: Any) -> bool:
    """Whether another thread waits for an answer."""
    free = box._lock.acquire(blocking=False)
    if free:
        box._lock.release()
    return not free


def test_what_is_cancelled_ends_with_its_box() -> None:
    mark = f"cancelled-{os.getpid()}"

    async def leave() -> None:
        async with make_sandbox(wall_seconds=60) as box:
            await asyncio.wait_for(box.aexec(["sh", "-c", f"sleep 60; : {mark}"]), 0.3)

    with pytest.raises(TimeoutError):
        asyncio.run(leave())
    deadline = time.monotonic() + 10
    while _processes(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _processes(mark)


def test_after_a_cancelled_exec_the_next_one_gets_its_own_answer() -> None:
    async def both() -> str:
        async with make_sandbox(wall_seconds=5) as box:
            slow = box.aexec("import time; time.sleep(0.3); print('slow')")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(slow, 0.1)
            return (await box.aexec("print('next')")).stdout

    assert asyncio.run(both()) == "next\n"


def test_an_interpreter_that_exits_waits_for_no_exec() -> None:
    source = """
import asyncio
from agentgym.sandbox import make_sandbox
async def leave():
    box = make_sandbox(wall_seconds=60)
    try: await asyncio.wait_for(box.aexec("import time; time.sleep(60)"), 0.2)
    except TimeoutError: print("left", flush=True)
asyncio.run(leave())
"""
    subprocess.run([sys.executable, "-c", source], check=True, timeout=30)


def _processes(mark: str) -> list[str]:
    found: list[str] = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


FORKED = """
import asyncio, os, signal, sys, threading, time
from agentgym.errors import UsageError
from agentgym.sandbox import make_sandbox
from agentgym.sandboxes.bubblewrap_command import Recipe
from agentgym.sandboxes.zygotes import zygote

def forked(act):
    "Do something in a fork, and return whether it went well."
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        act()
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0

async def say(): return await made.aexec("print(1)")
"""


@pytest.mark.parametrize(
    "source",
    [
        # The parent has used threads for it, which the fork has not.
        """
made = make_sandbox()
asyncio.run(say())
def act():
    global made
    try: made.exec("1")
    except UsageError as fault: assert "process that made it" in str(fault)
    made.close()
    made = make_sandbox()
    assert asyncio.run(say()).stdout == "1\\n"
assert forked(act)
assert made.exec("print(1)").stdout == "1\\n"
""",
        # Another thread is starting a zygote.
        """
from agentgym.sandboxes import zygotes
zygotes._running_lock.acquire()
def act(): assert make_sandbox().exec("print(1)").stdout == "1\\n"
assert forked(act)
zygotes._running_lock.release()
""",
        # Boxes end while a fork of their maker lives.
        """
def processes():
    found = [zygote(Recipe(None, "/usr/bin/python3", ())).pid]
    for pid in found:
        try: found += map(int, open(f"/proc/{pid}/task/{pid}/children").read().split())
        except OSError: pass
    return len(found)
made = make_sandbox()
time.sleep(0.3)  # until there is one to spare again
before = processes()
more = [make_sandbox(keep=0) for _ in range(3)]
assert processes() > before
pid = os.fork()
if pid == 0:
    time.sleep(60)
    os._exit(0)
for box in more: box.close()
end = time.monotonic() + 10
while processes() > before and time.monotonic() < end: time.sleep(0.05)
assert processes() == before
os.kill(pid, 9)
""",
    ],
    ids=["uses its own boxes", "while a lock is held", "while a fork lives"],
)
def test_a_process_that_forks(source: str) -> None:
    subprocess.run([sys.executable, "-c", FORKED + source], check=True, timeout=60)


def test_a_zygote_does_not_outlive_its_host_for_the_sake_of_a_fork() -> None:
    source = """
made = make_sandbox()
if os.fork() == 0:
    signal.alarm(60)
    os.close(1)
    time.sleep(60)
    os._exit(0)
print(zygote(Recipe(None, "/usr/bin/python3", ())).pid, flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", FORKED + source]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as host:
        assert host.stdout is not None
        pid = host.stdout.readline().decode().strip()
        host.kill()
        try:
            deadline = time.monotonic() + 10
            while _runs(pid) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not _runs(pid)
        finally:
            os.killpg(host.pid, signal.SIGKILL)  # the fork, which is ours too


def test_a_zygote_that_is_slow_is_replaced_and_its_boxes_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = Recipe(None, "/usr/bin/python3", ("colorsys",))
    slow = zygote(recipe)
    with make_sandbox(modules=recipe.modules) as box:
        monkeypatch.setattr(zygotes, "_FORK_SECONDS", 0.2)
        for pid in _own(slow):
            os.kill(pid, signal.SIGSTOP)
        with pytest.raises(InfraError, match="does not answer"):
            make_sandbox(modules=recipe.modules)
        monkeypatch.undo()
        with make_sandbox(modules=recipe.modules) as other:
            assert other.exec("print(2)").stdout == "2\n"
        assert zygote(recipe) is not slow
        assert box.exec("print(1)").stdout == "1\n"
    slow.close()


def _own(of: Zygote) -> list[int]:
    """Return the process that forks boxes: the child of bubblewrap's process 1."""
    found = [of.pid]
    for _ in range(2):
        children = Path(f"/proc/{found[-1]}/task/{found[-1]}/children").read_text().split()
        found.append(int(children[0]))
    return found[2:]


def test_a_zygote_that_can_t_fork_says_so_and_goes_on() -> None:
    source = """
import errno, sys
from agentgym.sandboxes.jail import kernel, zygote
def refuse(namespaces): raise OSError(errno.ENOSPC, "no space for namespaces")
kernel.clone = refuse
zygote.main(int(sys.argv[1]), [])
"""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end, passed = socket.socketpair()
    with ours, end, passed:
        ours.settimeout(30)
        number = theirs.fileno()
        command = [sys.executable, "-c", source, str(number)]
        with subprocess.Popen(command, pass_fds=[number]) as refusing:
            theirs.close()
            ours.send(b"filter")
            assert ours.recv(64) == b"ready"
            socket.send_fds(ours, [b"box"], [passed.fileno()])
            assert b"no space for namespaces" in ours.recv(256)
            ours.send(b"ping")
            assert ours.recv(64) == b"pong"
            ours.shutdown(socket.SHUT_RDWR)
            assert refusing.wait(30) == 0
