"""The process that runs a model's code: it gives its privileges up, and then does as it is told.

What it reports of itself (a value, figures, which limit an error comes from) is the code's own
word, for the model to read; nothing on the host's side decides by it what is safe.
"""

from __future__ import annotations

import ast
import atexit
import errno
import gc
import io
import linecache
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

from agentgym.sandboxes.jail import kernel, report, wire

_FILE = "main.py"
_FDS = 5  # stdin, stdout, stderr, and these two
_STATUS, _ORDERS = 3, 4


def main(fds: Sequence[int], seccomp: bytes, user: int | None = None) -> None:
    """Turn a fork of a launcher into a program, and run it; doesn't return.

    Args:
        fds: What becomes its stdin, stdout and stderr, the pipe of its reports and that of its
            orders: what it is, its limits, its environment.
        seccomp: The filter of system calls.
        user: The number of the user and of the group that it becomes; None to stay what it is.
    """
    try:
        os.setsid()
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
        os.closerange(_FDS, 1 << 16)
        orders = wire.Pipe(_ORDERS)
        order = wire.receive(orders)
        if order is None:
            return
        header, body = order
        _become(header["limits"], seccomp, header["env"], user)
        os.chdir(header["home"])
        if header["argv"]:
            _execute(header["argv"])
        elif header["session"]:
            _Session(orders).serve()
        else:
            os.close(_ORDERS)
            _run_script(body.decode("utf-8", "replace"))
    except BaseException as fault:
        os.write(2, f"the sandbox could not start: {fault}\n".encode("utf-8", "replace"))
    finally:
        os._exit(125)


def _become(limits: dict[str, int], seccomp: bytes, env: dict[str, str], user: int | None) -> None:
    """Give up what a program may not have.

    Args:
        limits: Of its CPU seconds, memory, processes and file size; 0 for none.
        seccomp: The filter of system calls.
        env: Its environment.
        user: The number of the user and of the group that it becomes; None to stay what it is.
    """
    for which, value in (
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_FSIZE, limits["file"]),
        (resource.RLIMIT_NOFILE, 256),
    ):
        if value:
            resource.setrlimit(which, (value, value))
    # With 0 a core still goes to a handler that the host may have; with 1 it goes nowhere.
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    for which in (resource.RLIMIT_RTPRIO, resource.RLIMIT_NICE, resource.RLIMIT_MSGQUEUE):
        resource.setrlimit(which, (0, 0))
    for which, most in ((resource.RLIMIT_MEMLOCK, 1 << 16), (resource.RLIMIT_STACK, 8 << 20)):
        _, hard = resource.getrlimit(which)
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        # Deep recursion may want a larger stack, which is memory like any other.
        resource.setrlimit(which, (value, value if which == resource.RLIMIT_MEMLOCK else hard))
    if limits["cpu"]:
        # The signal says that it was the limit; a program that ignores it dies a second later.
        resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu"], limits["cpu"] + 1))
    # Whoever started us may ignore these, as a shell does for what it runs in the background.
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(env)
    kernel.give_up_privileges(seccomp, user)
    for fd in (_STATUS, _ORDERS):
        os.set_inheritable(fd, False)


def _execute(argv: list[str]) -> None:
    """Become a command; doesn't return."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and commands inherit
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)
    except OSError as fault:
        os.write(2, f"{argv[0]}: {fault.strerror}\n".encode())
        os._exit(127 if fault.errno == errno.ENOENT else 126)
    except ValueError as fault:
        os.write(2, f"{argv[0]}: {fault}\n".encode("utf-8", "replace"))
        os._exit(126)


def _run_script(source: str) -> None:
    """Run source as a script and exit; doesn't return."""
    _fresh_streams()
    namespace = _namespace()
    code = 0
    try:
        _run(source, namespace, last=False)
    except SystemExit as ending:
        code = _exit_code(ending)
    except BaseException as fault:
        _show(fault)
        report.tell(_STATUS, {"limit": _limit(fault)})
        code = 1
    _leave(code, namespace)


class _Session:
    """Runs cells in one namespace, one after the other.

    Args:
        orders: Where they come from.
    """

    def __init__(self, orders: wire.Pipe) -> None:
        self._orders = orders
        self._namespace = _namespace()
        self._handler: Any = signal.default_int_handler
        self._pid = os.getpid()

    def serve(self) -> None:
        """Run cells until there are no more; doesn't return."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _fresh_streams()
        while True:
            order = wire.receive(self._orders)
            if order is None:
                _leave(0, self._namespace)
            header, source = order
            _bury()
            cell = header["cell"], header["value_bytes"]
            self._run(source.decode("utf-8", "replace"), *cell)

    def _run(self, source: str, name: str, value_bytes: int) -> None:
        """Run a cell and report it."""
        told: dict[str, Any] = {"cell": name, "code": 0}
        shown: str | None = None
        figures: list[bytes] = []
        try:
            with self:
                value = _run(source, self._namespace, last=True)
                if value is not None:
                    self._namespace["_"] = value
                    shown = repr(value)
        except SystemExit as ending:
            told["code"] = _exit_code(ending)
        except BaseException as fault:
            _show(fault)
            told |= {"code": 1, "limit": _limit(fault)}
        try:
            with self:
                figures = _figures()
        except BaseException as fault:
            _show(fault)
        _flush()
        if os.getpid() != self._pid:
            _leave(told["code"], self._namespace)  # a fork that the cell let go on
        report.tell(_STATUS, told, shown, figures, value_bytes)

    # A cell's own work may be interrupted; what comes between two of them may not, since an
    # interrupt there would lose the namespace.

    def __enter__(self) -> None:
        signal.signal(signal.SIGINT, self._handler)

    def __exit__(self, *_: object) -> None:
        while True:
            try:
                self._handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
                return
            except BaseException:
                # An interrupt that had come already, and is too late.
                continue


def _run(source: str, namespace: dict[str, Any], *, last: bool) -> Any:
    """Run source, and return the value of its last expression where that is asked for."""
    # So that a traceback shows the line that failed.
    linecache.cache[_FILE] = (len(source), None, source.splitlines(keepends=True), _FILE)
    if not last:
        exec(compile(source, _FILE, "exec"), namespace)
        return None
    tree = ast.parse(source, _FILE)
    shown = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, _FILE, "exec"), namespace)
    if not isinstance(shown, ast.Expr):
        return None
    return eval(compile(ast.Expression(shown.value), _FILE, "eval"), namespace)


def _namespace() -> dict[str, Any]:
    """Return the namespace of a script, as the module `__main__`."""
    main = type(sys)("__main__")
    sys.modules["__main__"] = main
    sys.argv = [_FILE]
    sys.path.insert(0, os.getcwd())
    return main.__dict__


def _fresh_streams() -> None:
    # Line by line, so that what a limit cuts short is still read.
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), "utf-8", "replace")
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(1, "w", closefd=False)), "utf-8", "replace", line_buffering=True
    )
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(2, "w", closefd=False)), "utf-8", "replace", line_buffering=True
    )


def _show(fault: BaseException) -> None:
    """Print a traceback without our own frames."""
    trace = fault.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != _FILE:
        trace = trace.tb_next
    try:
        sys.stdout.flush()
        traceback.print_exception(type(fault), fault, trace)
        sys.stderr.flush()
    except Exception:
        os.write(2, f"{type(fault).__name__}\n".encode())


def _limit(fault: BaseException) -> str | None:
    """Return which limit an error comes from, if it comes from one."""
    if isinstance(fault, MemoryError):
        return "memory"
    if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "disk"
    if isinstance(fault, BlockingIOError) and fault.errno == errno.EAGAIN and _is_full():
        return "processes"
    if isinstance(fault, RuntimeError) and "can't start new thread" in str(fault):
        return "processes"
    return None


def _bury() -> None:
    """Take leave of children that ended with the last cell, and as zombies count as processes."""
    try:
        if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return
        # Whoever would ask for one of them by itself hears how it ended.
        if "subprocess" in sys.modules:
            kind = sys.modules["subprocess"].Popen
            for child in [o for o in gc.get_objects() if issubclass(type(o), kind)]:
                child.poll()
        if "multiprocessing" in sys.modules:
            sys.modules["multiprocessing"].active_children()
        while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG) is not None:
            pass
    except ChildProcessError:
        return


def _is_full() -> bool:
    """Whether there can't be another process; what does not block has the same error."""
    try:
        pid = os.fork()
    except OSError:
        return True
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return False


def _figures() -> list[bytes]:
    """Return the open figures as PNG, and close them."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return []
    figures: list[bytes] = []
    for number in pyplot.get_fignums():
        image = io.BytesIO()
        pyplot.figure(number).savefig(image, format="png")
        figures.append(image.getvalue())
        if sum(map(len, figures)) > report.FIGURES_BYTES:
            figures.pop()
            print(f"figure {number} is too large to be shown", file=sys.stderr)
    pyplot.close("all")
    return figures


def _exit_code(ending: SystemExit) -> int:
    if ending.code is None or isinstance(ending.code, int):
        return (ending.code or 0) & 255
    print(ending.code, file=sys.stderr)
    return 1


def _leave(code: int, namespace: dict[str, Any]) -> NoReturn:
    """Exit as an interpreter would."""
    # What `Py_FinalizeEx` begins with; Python has no public name for either.
    end_threads: Any = getattr(threading, "_shutdown")  # noqa: B009
    run_atexit: Any = getattr(atexit, "_run_exitfuncs")  # noqa: B009
    for step in (end_threads, run_atexit, partial(_clear, namespace)):
        try:
            step()
        except BaseException as fault:
            _show(fault)
    os._exit(code if _flush() else code or 120)


def _flush() -> bool:
    """Write what waits to be written, and return whether that went well."""
    well = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # a program may have put anything there
            well = False
    return well


def _clear(namespace: dict[str, Any]) -> None:
    """Let go of what a script's names hold, in an interpreter's order: open files are flushed."""
    for private in (True, False):
        for name in [name for name in namespace if name.startswith("_") is private]:
            if name != "__builtins__":
                namespace[name] = None
    gc.collect()
