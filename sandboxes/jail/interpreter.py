"""How Python source runs in a program's process: as in any interpreter, from its start to its end.

What fails is shown without our own frames, and an error that comes from a limit is told as such.
"""

from __future__ import annotations

import ast
import atexit
import errno
import gc
import io
import linecache
import os
import sys
import threading
import traceback
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from agentgym.sandboxes.jail import report

STATUS = 3
"""The descriptor that reports are written to."""

_FILE = "main.py"


def run_script(source: str) -> None:
    """Run source as a script and exit; doesn't return."""
    namespace = script_namespace()
    code = 0
    try:
        run(source, namespace, last=False)
    except SystemExit as ending:
        code = exit_code(ending)
    except BaseException as fault:
        show(fault)
        report.tell(STATUS, {"limit": limit_of(fault)})
        code = 1
    leave(code, namespace)


def run(source: str, namespace: dict[str, Any], *, last: bool) -> Any:
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


def script_namespace() -> dict[str, Any]:
    """Return the namespace of a script, as the module `__main__`."""
    main = type(sys)("__main__")
    sys.modules["__main__"] = main
    sys.argv = [_FILE]
    sys.path.insert(0, os.getcwd())
    return main.__dict__


def fresh_streams() -> None:
    """Replace the streams of the process that this is a fork of."""
    # Line by line, so that what a limit cuts short is still read.
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), "utf-8", "replace")
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(1, "w", closefd=False)), "utf-8", "replace", line_buffering=True
    )
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(2, "w", closefd=False)), "utf-8", "replace", line_buffering=True
    )


def show(fault: BaseException) -> None:
    """Print a traceback without our own frames."""
    trace = fault.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != _FILE:
        trace = trace.tb_next
    try:
        sys.stdout.flush()
        traceback.print_exception(type(fault), fault, trace)
        sys.stderr.flush()
    except BaseException:
        os.write(2, f"{type(fault).__name__}\n".encode())


def limit_of(fault: BaseException) -> str | None:
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


def exit_code(ending: SystemExit) -> int:
    """Return the exit code that `sys.exit` was given, or show what it was given in its place."""
    if ending.code is None or isinstance(ending.code, int):
        return (ending.code or 0) & 255
    with suppress(BaseException):  # of a stream or a value that a program has made
        print(ending.code, file=sys.stderr)
    return 1


def leave(code: int, namespace: dict[str, Any]) -> NoReturn:
    """Exit as an interpreter would."""
    # What `Py_FinalizeEx` begins with; Python has no public name for either.
    end_threads: Any = getattr(threading, "_shutdown")  # noqa: B009
    run_atexit: Any = getattr(atexit, "_run_exitfuncs")  # noqa: B009
    for step in (end_threads, run_atexit, partial(_clear, namespace)):
        try:
            step()
        except BaseException as fault:
            show(fault)
    os._exit(code if flush() else code or 120)


def flush() -> bool:
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
