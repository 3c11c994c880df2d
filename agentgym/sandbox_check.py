"""`check_sandbox`: does a sandbox keep its promises on this machine? One result a rule.

The tests run the same rules on every backend. Those about isolation are left out where a backend
says of itself that it gives none.

    $ agentgym doctor sandbox
"""

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from agentgym.conformance import BrokenRuleError, Report, Result
from agentgym.errors import AgentGymError, DataError, UsageError
from agentgym.sandbox import ExecResult, Limit, Sandbox, make_sandbox

__all__ = ["ISOLATION_RULES", "RULES", "check_sandbox", "check_sandbox_rule"]

Make = Callable[..., Sandbox]
Rule = Callable[[Make], str]


def check_sandbox(name: str, **options: Any) -> Report:
    """Check a backend against every rule.

    Args:
        name: The backend.
        **options: What `make_sandbox` takes besides.

    Raises:
        UnknownNameError: If there is no such backend.
        InfraError: If it can't run here; the message says why.
    """
    with make_sandbox(name, **options) as box:
        isolated = box.exec("").isolation != "none"
        notes = box.notes
    rules = [*RULES, *(ISOLATION_RULES if isolated else ())]
    return Report(name, tuple(check_sandbox_rule(rule, name, **options) for rule in rules), notes)


def check_sandbox_rule(rule: str, name: str, **options: Any) -> Result:
    """Check a backend against one rule.

    Args:
        rule: A key of `RULES` or `ISOLATION_RULES`.
        name: The backend.
        **options: What `make_sandbox` takes besides.
    """

    def make(**spec: Any) -> Sandbox:
        return make_sandbox(name, **{"wall_seconds": 10.0, **options, **spec})

    began = time.perf_counter()
    try:
        passed, detail = True, (RULES | ISOLATION_RULES)[rule](make)
    except (AgentGymError, BrokenRuleError) as fault:
        passed, detail = False, str(fault)
    return Result(rule, passed, detail, time.perf_counter() - began)


def _expect(holds: bool, wanted: str, seen: object) -> None:
    if not holds:
        raise BrokenRuleError(f"{wanted}; got {seen}")


@contextmanager
def _refused(kind: type[AgentGymError], what: str) -> Generator[None]:
    try:
        yield
    except kind:
        return
    raise BrokenRuleError(f"{what} is a {kind.__name__}; nothing was raised")


def _lines(box: Sandbox, source: str, **options: Any) -> list[str]:
    result = box.exec(source, **options)
    _expect(result.ok, "the program ends well", result)
    return result.stdout.splitlines()


def _runs_source(make: Make) -> str:
    with make() as box:
        _expect(_lines(box, "print(6 * 7)") == ["42"], "print(6 * 7) prints 42", "something else")
        text = "grüße, 世界 \N{SNOWMAN}"
        _expect(_lines(box, f"print({text!r})") == [text], "text passes as UTF-8", "other text")
        _expect(_lines(box, "print(__name__)") == ["__main__"], "source runs as __main__", "not")
    return "python"


def _tells_failure(make: Make) -> str:
    with make() as box:
        result = box.exec("print('before')\n1 / 0")
        _expect(
            result.exit_code == 1 and result.limit is None, "an exception is exit code 1", result
        )
        _expect(result.stdout == "before\n", "what was printed before is kept", result)
        _expect("ZeroDivisionError" in result.stderr, "stderr has the traceback", result)
        _expect("line 2" in result.stderr, "and it names the line", result)
        for source, code in (("import sys; sys.exit(3)", 3), ("raise SystemExit", 0)):
            result = box.exec(source)
            _expect(result.exit_code == code, f"{source!r} is exit code {code}", result)
        result = box.exec("x = (")
        _expect("SyntaxError" in result.stderr and not result.ok, "SyntaxError is shown", result)
        result = box.exec("import os; os.kill(os.getpid(), 11)")
        _expect(result.exit_code == -11, "a signal is a negative exit code", result)
    return "exit codes, tracebacks, signals"


def _runs_commands(make: Make) -> str:
    with make() as box:
        result = box.exec(["echo", "a b", "$HOME"])
        _expect(result.stdout == "a b $HOME\n", "a command's arguments pass as they are", result)
        result = box.exec("echo $((6 * 7)) >&2; exit 4", language="sh")
        _expect((result.stderr, result.exit_code) == ("42\n", 4), "sh runs a script", result)
        result = box.exec(["no-such-program"])
        _expect(result.exit_code == 127, "an unknown program is exit code 127", result)
        with _refused(UsageError, "an unknown language"):
            box.exec("1", language="cobol")
    return "commands, sh"


def _feeds_stdin(make: Make) -> str:
    with make() as box:
        text = "line\n" * 50_000  # more than a pipe holds
        counted = _lines(box, "import sys; print(len(sys.stdin.read()))", stdin=text)
        _expect(counted == [str(len(text))], "all of stdin is read", counted)
        _expect(
            _lines(box, "import sys; print(repr(sys.stdin.read()))") == ["''"], "it is empty", ""
        )
        # A program that doesn't read what it is fed is no fault of anybody's.
        _expect(box.exec("pass", stdin=text).ok, "unread stdin does no harm", "it did")
    return "stdin"


def _keeps_files(make: Make) -> str:
    with make(files={"in/a.txt": "first", "b.bin": b"\x00\xff"}) as box:
        read = _lines(box, "print(open('in/a.txt').read(), open('b.bin', 'rb').read())")
        _expect(read == [r"first b'\x00\xff'"], "files of the spec are there", read)
        box.put("deep/er/c.txt", "put")
        _expect(_lines(box, "print(open('deep/er/c.txt').read())") == ["put"], "put writes", "not")
        result = box.exec("open('out', 'wb').write(bytes(range(256)))", files_out=["out", "none"])
        _expect(dict(result.files) == {"out": bytes(range(256))}, "files come out", result.files)
        _expect(box.get("out") == bytes(range(256)), "get reads", "something else")
        with _refused(DataError, "a file that is not there"):
            box.get("nowhere")
        with _refused(DataError, "a folder"):
            box.get("deep")
        with _refused(DataError, "a file that is too large"):
            box.get("out", most_bytes=255)
    return "files in, put, get, files out"


def _keeps_boxes_apart(make: Make) -> str:
    with make() as one, make() as two:
        one.put("mine", "1")
        one.exec("open('/tmp/mine', 'w').write('1')")
        with _refused(DataError, "another box's file"):
            two.get("mine")
    with make() as three, _refused(DataError, "a closed box's file"):
        three.get("mine")
    return "working directories"


def _starts_afresh(make: Make) -> str:
    with make() as box:
        box.exec("x = 1; import builtins; builtins.y = 2; open('kept', 'w').close()")
        result = box.exec("x")
        _expect("NameError" in result.stderr, "names don't outlive their exec", result)
        _expect("NameError" in box.exec("y").stderr, "not even builtins", "they do")
        _expect(box.get("kept") == b"", "files do", "they don't")
    return "a namespace for each exec"


def _passes_environment(make: Make) -> str:
    with make(env={"GREETING": "hello"}) as box:
        said = _lines(
            box, "import os; print(os.environ['GREETING'], os.getcwd() == os.environ['HOME'])"
        )
        _expect(said == ["hello True"], "env is passed, and work begins at home", said)
    return "env"


def _limited(make: Make, limit: Limit, source: str, **spec: Any) -> ExecResult:
    with make(**spec) as box:
        result = box.exec(source)
        _expect(result.limit is limit and not result.ok, f"the limit is {limit}", result)
        _expect(_lines(box, "print(1)") == ["1"], "the box serves on", "it does not")
    return result


def _limits_wall(make: Make) -> str:
    source = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('a')\n"
    result = _limited(make, Limit.WALL, source + "time.sleep(60)", wall_seconds=0.5)
    _expect(result.seconds < 5, "it ends soon after its time", result.seconds)
    return f"0.5 s asked for, {result.seconds:.2f} s taken"


def _limits_cpu(make: Make) -> str:
    result = _limited(make, Limit.CPU, "while True: pass", cpu_seconds=1)
    return f"1 s asked for, {result.seconds:.2f} s taken"


def _limits_memory(make: Make) -> str:
    _limited(make, Limit.MEMORY, "x = bytearray(1 << 30)\nx[::4096] = x[::4096]", memory_mb=256)
    return "256 MiB"


def _limits_output(make: Make) -> str:
    with make(output_bytes=1000) as box:
        result = box.exec("import sys\nsys.stdout.write('x' * 123456)\nsys.stderr.write('y' * 999)")
        _expect(
            (len(result.stdout), len(result.stderr)) == (1000, 999), "the first is kept", result
        )
        _expect(result.dropped == (122456, 0) and result.truncated, "the rest is counted", result)
        _expect(result.ok, "and the program not ended for it", result)
    return "1,000 bytes kept, the rest counted"


def _closes(make: Make) -> str:
    box = make()
    box.close()
    box.close()
    for use in (lambda: box.exec("1"), lambda: box.get("a"), lambda: box.put("a", "")):
        with _refused(UsageError, "use after close"):
            use()
    return "twice, and no use after"


def _closes_what_runs(make: Make) -> str:
    box = make(wall_seconds=60.0)
    with ThreadPoolExecutor(1) as thread:
        box.exec("")
        running = thread.submit(box.exec, "import time; time.sleep(60)")
        time.sleep(0.3)
        began = time.perf_counter()
        box.close()
        # Whoever waits hears of it, whether by an error or by a result.
        wait([running])
        took = time.perf_counter() - began
    ended = isinstance(running.exception(), AgentGymError) or not running.result().ok
    _expect(ended, "an exec whose box is closed fails", "it did not")
    _expect(took < 10, "it ends when its box is closed", f"it took {took:.1f} s")
    return "what runs, from another thread"


def _serves_many(make: Make) -> str:
    def one(number: int) -> Sequence[str]:
        with make() as box:
            return _lines(box, f"import time; time.sleep(0.1); print({number})")

    with ThreadPoolExecutor(16) as threads:
        numbers = list(threads.map(one, range(16)))
    _expect(numbers == [[str(n)] for n in range(16)], "16 at once get their own answers", numbers)
    return "16 boxes at once"


def _keeps_to_its_list(make: Make) -> str:
    # Addresses of documentation, which nobody has: one is listed, and neither is connected to.
    source = """
import socket, urllib.error, urllib.request
try:
    urllib.request.urlopen('http://192.0.2.1/', timeout=5)
except urllib.error.HTTPError as refusal:
    print(refusal.code, '192.0.2.2' in refusal.read().decode())
try:
    socket.create_connection(('192.0.2.2', 80), 1)
except OSError:
    print('refused')
"""
    try:
        with make(network=("192.0.2.2",)) as box:
            said = _lines(box, source)
    except UsageError as fault:
        return f"takes no list: {fault}"
    _expect(said == ["403 True", "refused"], "a proxy keeps programs to what is listed", said)
    return "over a proxy only, and to what is listed"


def _limits_processes(make: Make) -> str:
    source = (
        "import os, time\nfor _ in range(64):\n    if os.fork() == 0: time.sleep(30); os._exit(0)"
    )
    _limited(make, Limit.PROCESSES, source, processes=8)
    return "8"


def _limits_disk(make: Make) -> str:
    source = "for i in range(64):\n    open(f'f{i}', 'wb').write(bytes(1 << 20))"
    _limited(make, Limit.DISK, source, disk_mb=8)
    return "8 MiB"


def _ends_what_is_left(make: Make) -> str:
    source = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            open('beat', 'a').write('.')
            time.sleep(0.01)
    os._exit(0)
os.wait()
time.sleep(0.2)
"""
    with make() as box:
        result = box.exec(source)
        _expect(result.seconds < 5, "a daemon doesn't keep its exec waiting", result)
        before = len(box.get("beat"))
        time.sleep(0.2)
        _expect(before > 0, "the daemon ran", "it did not")
        _expect(len(box.get("beat")) == before, "it ends with its exec", "it runs on")
    return "daemons too"


def _has_no_network(make: Make) -> str:
    source = """
import socket
names = [line.split(':')[0].strip() for line in list(open('/proc/net/dev'))[2:]]
try:
    socket.create_connection(('192.0.2.1', 80), 1)
except OSError as fault:
    print(names, 'refused')
"""
    with make() as box:
        said = _lines(box, source)
        _expect(said == ["['lo'] refused"], "there is a loopback interface alone", said)
    return "loopback of its own, nothing else"


def _is_nobody(make: Make) -> str:
    source = """
import os
held = [line for line in open('/proc/self/status') if line.startswith('CapEff')]
print(os.getuid() != 0, int(held[0].split()[1], 16))
try:
    os.close(os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY))
    print('open')
except OSError:
    print('refused')
"""
    with make() as box:
        said = _lines(box, source)
        _expect(said == ["True 0", "refused"], "no root, no capability, no /proc/sys", said)
    return "no root, no capabilities"


RULES: dict[str, Rule] = {
    "source": _runs_source,
    "failure": _tells_failure,
    "commands": _runs_commands,
    "stdin": _feeds_stdin,
    "files": _keeps_files,
    "boxes": _keeps_boxes_apart,
    "fresh": _starts_afresh,
    "environment": _passes_environment,
    "wall": _limits_wall,
    "cpu": _limits_cpu,
    "memory": _limits_memory,
    "output": _limits_output,
    "close": _closes,
    "ending": _closes_what_runs,
    "many": _serves_many,
    "hosts": _keeps_to_its_list,
}
"""What every backend promises."""

ISOLATION_RULES: dict[str, Rule] = {
    "processes": _limits_processes,
    "disk": _limits_disk,
    "daemons": _ends_what_is_left,
    "network": _has_no_network,
    "privileges": _is_nobody,
}
"""What every backend promises that isolates."""
