"""`Lane`: a queue of calls and the thread that carries them out, one after another.

An environment with a thread of its own has a lane of its own. Environments that cost microseconds
share one, because a hand-over between threads costs more than their step: a thread that finds many
calls waiting is woken once for all of them. A shared lane has `patience`: when one call takes
longer, a fresh thread takes over the queue and the slow call keeps the old thread to itself, so
that nothing waits for long behind a stranger. (Schedulers of lightweight threads do the same when
one of theirs blocks in a system call.)
"""

import threading
import time
from queue import SimpleQueue
from typing import Any

from agentgym.workers._pending import Pending


class _Server:
    """A thread's turn at serving a lane."""

    __slots__ = ("since",)

    def __init__(self) -> None:
        self.since = 0.0
        """When the call that it is carrying out began; 0 between calls."""


class Lane:
    """A queue of calls and the thread that carries them out.

    Args:
        name: The thread's name.
        patience: Seconds after which another thread takes over from a call; None for never.
    """

    def __init__(self, name: str, patience: float | None = None) -> None:
        self.name, self.patience = name, patience
        self._calls: SimpleQueue[Pending[Any] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._server: _Server | None = None

    def put(self, call: Pending[Any]) -> None:
        """Have the call carried out."""
        if self._server is None:
            with self._lock:
                if self._server is None:
                    self._serve()
        self._calls.put(call)

    def relieve(self) -> bool:
        """Let a fresh thread take over if the call under way has worn out the lane's patience.

        Returns:
            Whether there are calls under way or waiting.
        """
        with self._lock:
            server = self._server
            since = 0.0 if server is None else server.since
            if since and self.patience is not None and time.monotonic() - since >= self.patience:
                self._serve()
            return bool(since) or not self._calls.empty()

    def stop(self) -> None:
        """End the thread once it has carried out the calls that wait."""
        if self._server is not None:
            self._calls.put(None)

    def _serve(self) -> None:
        self._server = server = _Server()
        # A daemon, since a call that hangs for ever must not keep the interpreter from exiting.
        threading.Thread(target=self._run, args=(server,), name=self.name, daemon=True).start()

    def _run(self, server: _Server) -> None:
        while self._server is server:
            call = self._calls.get()
            if call is None:
                return
            server.since = time.monotonic()
            call.run()
            server.since = 0.0
            del call  # its answer must not live until the next call
