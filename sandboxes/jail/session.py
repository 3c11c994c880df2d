"""A session: cells of Python source in one namespace, as in a notebook."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from typing import Any

from agentgym.sandboxes.jail import interpreter, report, wire


class Session:
    """Runs cells in one namespace, one after the other.

    Args:
        orders: Where they come from.
    """

    def __init__(self, orders: wire.Pipe) -> None:
        self._orders = orders
        self._namespace = interpreter.script_namespace()
        self._handler: Any = signal.default_int_handler
        self._pid = os.getpid()

    def serve(self) -> None:
        """Run cells until there are no more; doesn't return."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            order = wire.receive(self._orders)
            if order is None:
                interpreter.leave(0, self._namespace)
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
                value = interpreter.run(source, self._namespace, last=True)
                if value is not None:
                    self._namespace["_"] = value
                    shown = repr(value)
        except SystemExit as ending:
            told["code"] = interpreter.exit_code(ending)
        except BaseException as fault:
            interpreter.show(fault)
            told |= {"code": 1, "limit": interpreter.limit_of(fault)}
        try:
            with self:
                figures = _figures()
        except BaseException as fault:
            interpreter.show(fault)
        interpreter.flush()
        if os.getpid() != self._pid:
            interpreter.leave(told["code"], self._namespace)  # a fork that the cell let go on
        report.tell(interpreter.STATUS, told, shown, figures, value_bytes)

    # A cell's own work may be interrupted; what comes between two of them may not, since an
    # interrupt there would lose the namespace.

    def __enter__(self) -> None:
        signal.signal(signal.SIGINT, self._handler)

    def __exit__(self, *_: object) -> None:
        while True:
            try:
                handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
                # None is one that wasn't set from Python.
                self._handler = signal.default_int_handler if handler is None else handler
                return
            except BaseException:
                # An interrupt that had come already, and is too late.
                continue


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
    except Exception:  # there are none any more, or a program has its own idea of them
        return


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
