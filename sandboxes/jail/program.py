"""The process that runs a model's code: it gives its privileges up, and then does as it is told.

What it reports on the status pipe (a value, figures, which limit an error comes from) is the
code's own word, for the model to read; nothing on the host's side decides by it what is safe.
"""

from __future__ import annotations

import ast
import errno
import io
import linecache
import os
import resource
import signal
import struct
import sys
import threading
import traceback
from typing import Any, BinaryIO

from agentgym.sandboxes.jail import kernel, report

LENGTH = struct.Struct("<I")
_FILE = "main.py"


def become(
    fds: dict[str, int],
    limits: dict[str, int],
    seccomp: bytes,
    env: dict[str, str],
    user: int | None = None,
) -> int:
    """Turn a fork of a keeper into a process that may run anything, and return its status pipe.

    Args:
        fds: What becomes its stdin, stdout and stderr, and its status pipe ("status").
        limits: Of its CPU seconds, memory, processes and file size; 0 for none.
        seccomp: The filter of system calls.
        env: Its environment.
        user: The number of the user and of the group that it becomes; None to stay what it is.
    """
    os.setsid()
    for number, name in enumerate(("stdin", "stdout", "stderr", "status")):
        os.dup2(fds[name], number)
    os.closerange(4, 1 << 16)
    for which, value in (
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_FSIZE, limits["file"]),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        if value or which == resource.RLIMIT_CORE:
            resource.setrlimit(which, (value, value))
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
    os.chdir(env["HOME"])
    os.set_inheritable(3, False)
    return 3


def execute(argv: list[str]) -> None:
    """Become a command; doesn't return."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and commands inherit
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)
    except OSError as fault:
        os.write(2, f"{argv[0]}: {fault.strerror}\n".encode())
        os._exit(127 if fault.errno == errno.ENOENT else 126)


def run(source: str, status: int) -> None:
    """Run source as a script and exit; doesn't return."""
    _fresh_streams()
    code = 0
    try:
        _run(source, _namespace(), last=False)
    except SystemExit as ending:
        code = _exit_code(ending)
    except BaseException as fault:
        _show(fault)
        report.tell(status, {"limit": _limit(fault)})
        code = 1
    _leave(code)


def serve(cells: BinaryIO, status: int) -> None:
    """Run cells in one namespace, one after the other, until there are no more; doesn't return."""
    _fresh_streams()
    namespace = _namespace()
    while True:
        start = cells.read(LENGTH.size)
        if len(start) < LENGTH.size:
            _leave(0)
        source = cells.read(LENGTH.unpack(start)[0]).decode("utf-8", "replace")
        told: dict[str, Any] = {"code": 0}
        shown: str | None = None
        figures: list[bytes] = []
        try:
            value = _run(source, namespace, last=True)
            if value is not None:
                namespace["_"] = value
                shown = repr(value)
        except SystemExit as ending:
            told["code"] = _exit_code(ending)
        except BaseException as fault:
            _show(fault)
            told |= {"code": 1, "limit": _limit(fault)}
        try:
            figures = _figures()
        except Exception as fault:
            _show(fault)
        sys.stdout.flush()
        sys.stderr.flush()
        report.tell(status, told, shown, figures)


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
    if isinstance(fault, BlockingIOError) and fault.errno == errno.EAGAIN:
        return "processes"
    if isinstance(fault, RuntimeError) and "can't start new thread" in str(fault):
        return "processes"
    return None


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
    pyplot.close("all")
    return figures


def _exit_code(ending: SystemExit) -> int:
    if ending.code is None or isinstance(ending.code, int):
        return (ending.code or 0) & 255
    print(ending.code, file=sys.stderr)
    return 1


def _leave(code: int) -> None:
    """Exit as an interpreter would, without ending the zygote's affairs a second time."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 120
    os._exit(code)
