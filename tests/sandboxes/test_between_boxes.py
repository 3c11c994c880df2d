"""What a program in one box tries on another box, whose session keeps things open meanwhile."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentgym.errors import UsageError
from agentgym.sandbox import Sandbox

pytestmark = pytest.mark.integration

Make = Callable[..., Sandbox]


def test_terminals_are_a_box_s_own(make: Make) -> None:
    one, two = make(stateful=True), make()
    opened = one.exec(
        "import os, pty, tty\nmaster, slave = pty.openpty()\ntty.setraw(slave)\n"
        "os.write(master, b'typed')\nos.ttyname(slave)"
    )
    assert opened.value is not None, opened.stderr
    assert opened.value.startswith("'/dev/pts/")
    steal = """
import os
for name in os.listdir('/dev/pts'):
    if name.isdigit():
        terminal = os.open(f'/dev/pts/{name}', os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        print(os.read(terminal, 100))
        os.write(terminal, b'forged')
"""
    assert two.exec(steal).stdout == ""
    assert one.exec("os.read(slave, 100)").value == "b'typed'"
    assert one.exec("os.set_blocking(master, False)\nos.read(master, 100)").exit_code == 1


def test_a_box_has_no_more_terminals_than_its_share(make: Make) -> None:
    source = """
import os, resource
opened = []
try:
    while len(opened) < 200: opened.append(os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY))
except OSError as fault:
    print(fault.strerror)
print(len(opened) < 200)
"""
    box = make()
    if box.spec.image is None:
        assert box.exec(source).stdout == "No space left on device\nTrue\n"


@pytest.mark.parametrize(
    ("keep", "look"),
    [
        (
            "import socket\ns = socket.socket(socket.AF_UNIX); s.bind('\\0here'); s.listen()",
            "import socket\ns = socket.socket(socket.AF_UNIX); s.connect('\\0here')",
        ),
        (
            "import socket\ns = socket.create_server(('127.0.0.1', 40404))",
            "import socket\nsocket.create_connection(('127.0.0.1', 40404), 1)",
        ),
        ("open('/dev/shm/here', 'w').close()", "open('/dev/shm/here')"),
        ("open('/tmp/here', 'w').close()", "open('/tmp/here')"),
        (
            "from multiprocessing.shared_memory import SharedMemory\n"
            "kept = SharedMemory('here', create=True, size=4096)",
            "from multiprocessing.shared_memory import SharedMemory\nSharedMemory('here')",
        ),
        (
            "import os, threading\nos.getpid()",
            "import os\nassert len([p for p in os.listdir('/proc') if p.isdigit()]) > 3",
        ),
    ],
    ids=["abstract socket", "loopback", "/dev/shm", "/tmp", "shared memory", "processes"],
)
def test_nothing_of_a_box_is_found_in_another(keep: str, look: str, make: Make) -> None:
    one, two = make(stateful=True), make()
    kept = one.exec(keep)
    assert kept.ok, kept.stderr
    result = two.exec(look)
    assert result.exit_code == 1
    assert "Error" in result.stderr


def test_descriptors_under_way_are_no_other_box_s_affair(make: Make) -> None:
    one, two = make(wall_seconds=20), make()
    assert two.exec("print(1)").stdout == "1\n"
    many = """
import socket, time
one, other = socket.socketpair()
try:
    while True:
        socket.send_fds(one, [b"x"], [one.fileno()] * 250)
except OSError:
    open("full", "w")
time.sleep(20)
"""
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(one.exec, many)
        try:
            time.sleep(1)
            # The first of them is a program that was there before.
            assert [two.exec("print(1)").stdout for _ in range(3)] == ["1\n"] * 3
        finally:
            one.close()
        with pytest.raises(UsageError):
            running.result(10)


def test_memory_that_outlives_a_program_is_not_to_be_had(make: Make) -> None:
    source = """
import os
before = next(line for line in open('/proc/meminfo') if line.startswith('Shmem:'))
kept = []
try:
    for _ in range(50):
        kept.append(os.memfd_create('x'))
        os.write(kept[-1], bytes(7 << 20))
except OSError as fault:
    print(fault.strerror)
"""
    assert make(memory_mb=64).exec(source).stdout == "Function not implemented\n"
