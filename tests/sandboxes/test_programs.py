"""How Python source runs in a box: as it would anywhere else."""

from collections.abc import Callable

import pytest

from agentgym.sandbox import Sandbox

pytestmark = pytest.mark.integration

Make = Callable[..., Sandbox]


def test_a_script_ends_as_in_any_interpreter(make: Make) -> None:
    box = make()
    source = """
import atexit, threading, time
from concurrent.futures import ThreadPoolExecutor
atexit.register(print, "at exit")
threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
print(ThreadPoolExecutor(2).submit(pow, 2, 3).result())
class Last:
    def __del__(self): print("finalised")
last = Last()
file = open("unflushed", "w")
file.write("hello")
"""
    result = box.exec(source)
    assert (result.stdout, result.exit_code) == ("8\nthread\nat exit\nfinalised\n", 0)
    assert result.limit is None
    assert box.get("unflushed") == b"hello"


def test_what_fails_at_the_end_is_shown(make: Make) -> None:
    result = make().exec("import atexit\natexit.register(lambda: 1 / 0)\nprint('ran')")
    assert (result.stdout, result.exit_code) == ("ran\n", 0)
    assert "ZeroDivisionError" in result.stderr


def test_text_that_has_no_encoding_is_replaced(make: Make) -> None:
    box = make()
    assert box.exec("print('a\ud800b')").stdout == "a?b\n"
    assert box.exec("echo 'a\ud800b'", language="sh").stdout == "a?b\n"
    assert box.exec(["echo", "a\ud800b"]).stdout == "a?b\n"
    assert box.exec(["cat"], stdin="a\ud800b").stdout == "a?b"
    result = box.exec(["echo", "a\0b"])
    assert (result.exit_code, result.stderr) == (126, "echo: embedded null byte\n")


def test_a_home_that_is_not_there_is_the_program_s_own_affair(make: Make) -> None:
    box = make(env={"HOME": "/nowhere"})
    box.put("a", "1")
    assert (
        box.exec("import os\nprint(os.environ['HOME'], open('a').read())").stdout == "/nowhere 1\n"
    )
