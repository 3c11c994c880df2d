"""Stateful boxes: cells in one namespace, whatever the backend."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentgym.errors import UsageError
from agentgym.sandbox import Limit, Sandbox, make_sandbox

pytestmark = pytest.mark.integration


@pytest.fixture(params=["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def session(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    backend: str = request.param
    options = request.getfixturevalue("engine").options if backend == "docker" else {}
    limits = {"wall_seconds": 5, "memory_mb": 256, "processes": 8}
    with make_sandbox(backend, stateful=True, **limits, **options) as box:
        yield box


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
    # It is dead, and stays a zombie until the session, whose child it is, asks for it.
    others = "[p for p in os.listdir('/proc') if p.isdigit() and int(p) not in (1, os.getpid())]"
    assert session.exec(
        f"[open(f'/proc/{{p}}/stat').read().split()[2] for p in {others}]"
    ).value in (
        "['Z']",
        "[]",
    )


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
    # They are dead once the cell has ended, and count until the session, their parent, asks.
    session.exec("import os\nfor _ in range(8):\n    if os.fork() == 0: os._exit(0)")
    assert session.exec("1 + 1").value == "2"
    result = session.exec(["true"])
    assert result.ok or result.limit is Limit.PROCESSES


def test_threads_that_share_a_box_get_their_own_answers(session: Sandbox) -> None:
    with ThreadPoolExecutor(8) as threads:
        values = list(threads.map(lambda n: session.exec(f"{n}").value, range(64)))
    assert values == [str(n) for n in range(64)]


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
