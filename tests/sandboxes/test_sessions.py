"""Stateful boxes: cells in one namespace, whatever the backend."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentgym.errors import UsageError
from agentgym.sandbox import Limit, Sandbox

pytestmark = pytest.mark.integration


@pytest.fixture
def session(make: Callable[..., Sandbox]) -> Sandbox:
    return make(stateful=True, processes=8)


def test_a_session_keeps_its_names_and_shows_the_last_value(session: Sandbox) -> None:
    assert session.exec("x = 20\ndef f(n): return n + x").value is None
    assert session.exec("print('hi')\nf(22)").value == "42"
    result = session.exec("_ + 1; None")
    assert (result.value, result.ok) == (None, True)
    assert session.exec("import sys; 'main.py' in sys.argv").value == "True"


def test_an_error_in_a_session_loses_nothing(session: Sandbox) -> None:
    session.exec("x = 1")
    result = session.exec("y = 2\n1 / 0")
    assert (result.exit_code, result.state_lost) == (1, False)
    assert result.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert "keeper" not in result.stderr
    assert session.exec("x + y").value == "3"


def test_a_cell_that_takes_too_long_is_interrupted_and_the_names_stay(session: Sandbox) -> None:
    session.exec("x = 1")
    result = session.exec("while True: pass", wall_seconds=0.3)
    assert (result.limit, result.state_lost) == (Limit.WALL, False)
    assert session.exec("x").value == "1"


def test_a_cell_that_lets_nothing_interrupt_it_loses_the_session(session: Sandbox) -> None:
    session.exec("x = 1")
    stubborn = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    result = session.exec(stubborn, wall_seconds=0.3)
    assert (result.limit, result.state_lost) == (Limit.WALL, True)
    assert "NameError" in session.exec("x").stderr


def test_a_session_that_exits_begins_again(session: Sandbox) -> None:
    session.exec("x = 1")
    result = session.exec("import os; os._exit(3)")
    assert (result.exit_code, result.state_lost) == (3, True)
    assert "NameError" in session.exec("x").stderr
    assert session.exec("raise SystemExit(4)").exit_code == 4


def test_what_a_cell_leaves_running_ends_with_it(session: Sandbox) -> None:
    session.exec("import os, time\nif os.fork() == 0:\n    time.sleep(60)")
    ours = "(1, os.getpid(), os.getppid())"
    others = f"[p for p in os.listdir('/proc') if p.isdigit() and int(p) not in {ours}]"
    assert session.exec(others).value == "[]"


def test_a_session_takes_no_stdin(session: Sandbox) -> None:
    with pytest.raises(UsageError, match="read no stdin"):
        session.exec("1", stdin="x")


def test_a_session_and_commands_share_the_files(session: Sandbox) -> None:
    session.exec("open('a', 'w').write('1')")
    assert session.exec(["cat", "a"]).stdout == "1"
    assert session.exec("1").value == "1"


def test_a_session_that_has_taken_every_process_is_no_fault_of_the_sandbox(
    session: Sandbox,
) -> None:
    # They are dead once the cell has ended, and count until the session's next one.
    for _ in range(3):
        filled = session.exec("import os\nfor _ in range(8):\n    if os.fork() == 0: os._exit(0)")
        assert filled.limit is Limit.PROCESSES
        result = session.exec(["true"])
        assert result.ok or result.limit is Limit.PROCESSES
        assert session.exec("1 + 1").value == "2"


def test_children_that_end_with_a_cell_say_how(session: Sandbox) -> None:
    session.exec("import subprocess\nchild = subprocess.Popen(['sleep', '60'])")
    assert session.exec("child.wait(5)").value == "-9"


def test_threads_that_share_a_box_get_their_own_answers(session: Sandbox) -> None:
    with ThreadPoolExecutor(8) as threads:
        values = list(threads.map(lambda n: session.exec(f"{n}").value, range(64)))
    assert values == [str(n) for n in range(64)]


def test_a_session_has_nothing_to_read(session: Sandbox) -> None:
    result = session.exec("x = 1\ninput()")
    assert ("EOFError" in result.stderr, result.limit) == (True, None)
    assert session.exec("import subprocess\nsubprocess.run(['cat'], timeout=4).returncode").ok
    assert session.exec("x").value == "1"


def test_an_interrupt_that_comes_too_late_loses_nothing(session: Sandbox) -> None:
    # What a session does after a cell's own work runs a program's code here.
    session.exec("""
import os, signal, sys
class Interrupting:
    def __init__(self, out): self.out = out
    def write(self, text): return self.out.write(text)
    def flush(self):
        os.kill(os.getpid(), signal.SIGINT)
        self.out.flush()
sys.stdout, x = Interrupting(sys.stdout), 5
""")
    result = session.exec("x")
    assert (result.value, result.state_lost) == ("5", False)
    session.exec("sys.stdout = None")
    assert session.exec("x").value == "5"


def test_what_handles_interrupts_stays_from_cell_to_cell(session: Sandbox) -> None:
    session.exec(
        "import signal\ncame = []\nsignal.signal(signal.SIGINT, lambda *_: came.append(1))"
    )
    session.exec("import os\nos.kill(os.getpid(), signal.SIGINT)")
    assert session.exec("came").value == "[1]"


def test_a_value_and_figures_have_a_limit(make: Callable[..., Sandbox]) -> None:
    session = make(stateful=True, output_bytes=1000)
    session.exec("y = 5")
    result = session.exec("'x' * 20_000_000")
    assert result.value == "'" + "x" * 999 + "… (19999002 bytes more)"
    assert (result.ok, result.seconds < 4) == (True, True)
    shown = session.exec("class Odd:\n    def __repr__(self): return '\\ud800'\nOdd()")
    assert shown.value == "?"
    assert session.exec("y").value == "5"


def test_what_a_cell_makes_of_its_own_end_loses_nothing(session: Sandbox) -> None:
    session.exec("""
class Odd(Exception):
    def __str__(self): raise SystemExit(3)
    __repr__ = __str__
x = 5
""")
    assert session.exec("raise Odd").exit_code == 1
    assert session.exec("raise SystemExit(Odd())").exit_code == 1
    assert session.exec("Odd()").exit_code == 3
    assert session.exec("x").value == "5"


def test_a_fork_that_a_cell_lets_go_on_answers_nothing(session: Sandbox) -> None:
    result = session.exec("import os\nx = os.fork() == 0\nif not x: os.wait()\nx")
    assert (result.value, result.state_lost) == ("False", False)
    assert session.exec("x").value == "False"


def test_a_session_whose_first_thread_has_ended_is_ended_with_all_its_threads(
    session: Sandbox,
) -> None:
    # Its state looks like that of a dead process while the other threads run.
    source = """
import ctypes, os, threading, time
def beat():
    while True:
        with open('beat', 'a') as file: file.write('.')
if os.fork() == 0:
    threading.Thread(target=beat).start()
    ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)
time.sleep(0.2)
"""
    session.exec(source)
    before = len(session.get("beat"))
    session.exec(["sleep", "0.1"])
    assert len(session.get("beat")) == before > 0


def test_an_interrupted_wait_leaves_no_answer_for_the_next(
    session: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("agentgym.sandboxes.kept.wire.receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            session.exec("1")
    with pytest.raises(UsageError, match="closed"):
        session.exec("2")
