"""The process that runs a model's code: it gives its privileges up, and then does as it is told.

What it reports of itself (a value, figures, which limit an error comes from) is the code's own
word, for the model to read; nothing on the host's side decides by it what is safe.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

from agentgym.sandboxes.jail import interpreter, kernel, wire
from agentgym.sandboxes.jail.session import Session

_FDS = 5  # stdin, stdout, stderr, and these two
_ORDERS = 4
_FILES = 256


def prepare(seccomp: bytes) -> None:
    """Have a launcher take on what all its forks are to have; a fork that does it takes longer.

    Args:
        seccomp: The filter of system calls.
    """
    # With 0 a core still goes to a handler that the host may have; with 1 it goes nowhere.
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    for which in (resource.RLIMIT_RTPRIO, resource.RLIMIT_NICE, resource.RLIMIT_MSGQUEUE):
        # gVisor knows neither the limit nor what it is of; nobody else minds a lower one.
        with suppress(ValueError):
            resource.setrlimit(which, (0, 0))
    for which, most in ((resource.RLIMIT_MEMLOCK, 1 << 16), (resource.RLIMIT_STACK, 8 << 20)):
        _, hard = resource.getrlimit(which)
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        # Deep recursion may want a larger stack, which is memory like any other.
        resource.setrlimit(which, (value, hard if which == resource.RLIMIT_STACK else value))
    # Whoever started us may ignore these, as a shell does for what it runs in the background.
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    kernel.restrict(seccomp)


def main(fds: Sequence[int], give_up: Callable[[], None]) -> None:
    """Turn a fork of a launcher into a program, and run it; doesn't return.

    Args:
        fds: What becomes its stdin, stdout and stderr, the pipe of its reports and that of its
            orders: what it is, its limits, its environment.
        give_up: Drops the rights that the launcher has.
    """
    try:
        os.setsid()
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
        os.closerange(_FDS, 1 << 16)
        # One that lowers this again may take the box with it, which the host tells from a fault.
        kernel.be_ended_first()
        give_up()
        _rehearse()
        orders = wire.Pipe(_ORDERS)
        order = wire.receive(orders)
        if order is None:
            return
        header, body = order
        _limit(header["limits"])
        os.environ.update(header["env"])
        os.chdir(header["home"])
        if header["argv"]:
            _execute(header["argv"])
        elif header["session"]:
            Session(orders).serve()
        else:
            os.close(_ORDERS)
            interpreter.run_script(body.decode("utf-8", "replace"))
    except BaseException as fault:
        os.write(2, f"the sandbox could not start: {fault}\n".encode("utf-8", "replace"))
    finally:
        os._exit(125)


def _rehearse() -> None:
    """Do what needs no orders, and go through the motions of what does.

    Most of what a fork takes is the copying of each page that it writes to for the first time, and
    even to look at an object is to write to it. What is done here is done before anybody waits.
    """
    # Not the launcher's: what it sends counts with what programs have under way.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _FILES if most == resource.RLIM_INFINITY else min(_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    for fd in (interpreter.STATUS, _ORDERS):
        os.set_inheritable(fd, False)
    interpreter.fresh_streams()
    os.environ.update(json.loads('{"A": "b"}'))
    os.environ.clear()
    exec(compile("0", "<rehearsal>", "exec"), {})


def _limit(limits: dict[str, int]) -> None:
    """Set the limits that its orders name.

    Args:
        limits: Of its CPU seconds, memory, processes and file size; 0 for none.
    """
    for which, value in (
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_FSIZE, limits["file"]),
    ):
        if value:
            resource.setrlimit(which, (value, value))
    if limits["cpu"]:
        # The signal says that it was the limit; a program that ignores it dies a second later.
        resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu"], limits["cpu"] + 1))


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
