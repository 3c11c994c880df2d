"""What a program tries on the next one in its box, and on what the host does there."""

from collections.abc import Callable

import pytest

from agentgym.errors import DataError
from agentgym.sandbox import Limit, Sandbox
from agentgym.sandboxes.jail import wire

pytestmark = pytest.mark.integration

Make = Callable[..., Sandbox]


def test_a_program_finds_nothing_in_its_memory_of_what_was_there_before(make: Make) -> None:
    box = make()
    box.put("hidden", "FILE-of-the-host " * 20)
    box.exec("print(input() + 'OUTPUT-' + 'of-a-program ' * 20)", stdin="STDIN-of-one " * 20)
    box.exec(["sh", "-c", "rm hidden; : " + "ARGUMENT-of-one " * 20])
    # The patterns don't match themselves.
    look = """
import ctypes, re
found = set()
for line in open('/proc/self/maps'):
    where, rights = line.split()[:2]
    if 'rw' in rights and '[v' not in line:
        start, end = (int(word, 16) for word in where.split('-'))
        memory = ctypes.string_at(start, end - start)
        found.update(re.findall(rb'(?:F[I]LE|STD[I]N|OUTP[U]T|ARG[U]MENT)-[o]f', memory))
print(found)
"""
    result = box.exec(look)
    assert result.stdout == "set()\n", result


def test_a_program_plants_no_module_in_the_next_one_s_python(make: Make) -> None:
    box = make()
    plant = """
import os, sys
python = 'python{}.{}'.format(*sys.version_info)
folder = os.path.expanduser(f'~/.local/lib/{python}/site-packages')
os.makedirs(folder)
for name in ('usercustomize', 'sitecustomize'):
    open(f'{folder}/{name}.py', 'w').write('print("planted")')
"""
    assert box.exec(plant).ok
    assert box.exec(["python3", "-c", "print('graded')"]).stdout == "graded\n"


def test_a_session_stands_still_while_a_command_runs(make: Make) -> None:
    box = make(stateful=True)
    box.exec("""
import os, threading, time
def forge():
    while True:
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                if b'grade' in open(f'/proc/{pid}/cmdline', 'rb').read():
                    open(f'/proc/{pid}/fd/1', 'w').write('PASSED\\\\n')
                    os.kill(int(pid), 9)
            except OSError:
                pass
threading.Thread(target=forge, daemon=True).start()
""")
    result = box.exec(["sh", "-c", "sleep 0.3; echo FAILED; : grade"])
    assert (result.stdout, result.exit_code) == ("FAILED\n", 0)


def test_a_session_stands_still_between_cells(make: Make) -> None:
    box = make(stateful=True)
    box.exec("""
import subprocess, threading, time
def beat():
    while True:
        with open('beat', 'a') as file: file.write('.')
        subprocess.Popen(['sh', '-c', 'while :; do echo . >> beat; done'])
threading.Thread(target=beat, daemon=True).start()
time.sleep(0.1)
""")
    before = len(box.get("beat"))
    box.exec(["sleep", "0.2"])
    assert len(box.get("beat")) == before > 0
    assert box.exec("1 + 1").value == "2"


@pytest.mark.parametrize("way", ["timer", "descriptor"])
def test_nothing_wakes_a_session_between_cells(way: str, make: Make) -> None:
    timer = """
import ctypes, platform, signal, struct
number = {"x86_64": 222, "aarch64": 107}[platform.machine()]
event = ctypes.create_string_buffer(struct.pack("qii", 0, signal.SIGCONT, 0) + bytes(64))
made = ctypes.CDLL(None).syscall(number, 1, event, ctypes.byref(ctypes.c_int()))
made
"""
    descriptor = """
import fcntl, os, signal
try:
    made = fcntl.fcntl(os.pipe()[0], 10, signal.SIGCONT)
except PermissionError:
    made = -1
made
"""
    session = make(stateful=True)
    assert session.exec(timer if way == "timer" else descriptor).value == "-1"


def test_a_session_can_t_answer_a_cell_beforehand(make: Make) -> None:
    box = make(stateful=True)
    forged = wire.pack({"code": 0, "value": 6, "figures": []}, b"FORGED")
    box.exec(f"""
import os, threading, time
def forge():
    while not os.path.exists('go'): time.sleep(0.001)
    os.write(3, {forged!r})
threading.Thread(target=forge, daemon=True).start()
""")
    assert box.exec("1").value == "1"
    box.put("go", "")
    # It writes as soon as it goes on, which is within a cell: that one is over, and the session.
    result = box.exec("time.sleep(2)")
    assert (result.value, result.state_lost) == (None, True)
    assert "is ended" in result.stderr
    assert [box.exec(f"{number}").value for number in (2, 3)] == ["2", "3"]


@pytest.mark.parametrize("more", [b"", b"x"])
def test_a_report_that_is_too_much_ends_the_session(more: bytes, make: Make) -> None:
    box = make(stateful=True)
    forged = wire.pack({"code": 0}) if more else b"\xff" * 8
    result = box.exec(f"import os\nos.write(3, {forged + more!r})")
    assert (result.state_lost, result.exit_code) == (True, -9)
    assert "is ended" in result.stderr
    assert box.exec("1").value == "1"


def test_links_lead_the_host_to_nothing_that_is_its_own(make: Make) -> None:
    box = make()
    box.exec("import os\nos.symlink('/proc/1', 'd')\nos.symlink('/proc/self', 's')")
    for path in ("d/maps", "d/environ", "s/maps", "s/status", "/proc/1/maps", "/proc/meminfo"):
        with pytest.raises(DataError):
            box.get(path)
    for path in ("d/oom_score_adj", "s/oom_score_adj", "/proc/sys/kernel/core_pattern"):
        with pytest.raises(DataError):
            box.put(path, "0")


@pytest.mark.parametrize("path", ["a\0b", "a\ud800b", "", "/dev/null", "a/b/../../.."])
def test_paths_that_are_none_are_said_and_harm_nothing(path: str, make: Make) -> None:
    box = make()
    with pytest.raises(DataError):
        box.put(path, "x")
    with pytest.raises(DataError) as refused:
        box.get(path)
    assert str(refused.value).encode()
    assert box.exec("print(1)", files_out=[path]).files == {}
    with pytest.raises(DataError):
        make(files={path: "x"})


def test_what_does_not_fit_leaves_what_was_there(make: Make) -> None:
    box = make(disk_mb=4)
    box.put("kept", "old")
    with pytest.raises(DataError):
        box.put("kept", bytes(5 << 20))
    assert box.get("kept") == b"old"
    assert box.exec(["ls", "-A"]).stdout == "kept\n"
    box.put("kept", "new")
    assert box.get("kept") == b"new"


def test_limits_are_named_for_what_they_are(make: Make) -> None:
    box = make(processes=8, cpu_seconds=2)
    blocked = "import socket\na, b = socket.socketpair()\na.setblocking(False)\na.recv(1)"
    result = box.exec(blocked)
    assert ("BlockingIOError" in result.stderr, result.limit) == (True, None)
    result = box.exec("import os, signal\nos.kill(os.getpid(), signal.SIGXCPU)")
    assert (result.exit_code, result.limit) == (-24, None)
    count = "import os, time\nn = 1\nwhile os.fork(): n += 1; print(n, flush=True)\ntime.sleep(9)"
    result = box.exec(count)
    assert result.limit is Limit.PROCESSES
    assert result.stdout.split()[-1] == "8"
