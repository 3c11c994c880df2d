"""`Pending`: the answer to a call that another thread carries out, for coroutines and for the rest.

One object serves both: `await pending`, or `pending.result()`. Whoever settles it first wins, the
thread that ran the call or the time limit, so a late answer never overwrites a failure. Answers to
coroutines travel through a `Mailbox` per event loop, since waking a loop costs a system call and a
busy thread finishes many calls between two turns of the loop.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar, cast
from weakref import WeakKeyDictionary, ref

from agentgym._deadlines import Deadlines
from agentgym.errors import TimeLimitError

T = TypeVar("T")


class Queue(Protocol):
    """The thread that carries out calls, as far as a `Pending` needs it; a `Lane`."""

    @property
    def patience(self) -> float | None:
        """Seconds after which another thread takes over from a call; None for never."""
        ...

    def relieve(self) -> bool:
        """Let a fresh thread take over from a slow call; say whether there are any calls."""
        ...


class Owner(Protocol):
    """Who made the call, as far as a `Pending` needs it."""

    @property
    def lane(self) -> Queue:
        """The thread that carries out the call."""
        ...

    def expire(self, stage: str, seconds: float) -> TimeLimitError:
        """Give up the call, which ran out of time; return the error to raise."""
        ...

    def orphaned(self) -> None:
        """Clean up after a call that came back when nobody waited for it any more."""
        ...


class Mailbox:
    """Answers on their way to the coroutines of one event loop.

    Args:
        loop: The loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = ref(loop)  # else the table of mailboxes would keep every loop alive
        self._futures: deque[asyncio.Future[None]] = deque()
        self._awake = False
        self._watched: set[Queue] = set()

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> "Mailbox":
        """Return the loop's mailbox. Called from the loop's own thread."""
        mailbox = _mailboxes.get(loop)
        if mailbox is None:
            mailbox = _mailboxes[loop] = cls(loop)
        return mailbox

    def post(self, future: "asyncio.Future[None]") -> None:
        """Wake the coroutine that waits for the future. Called from any thread."""
        self._futures.append(future)
        if not self._awake:
            self._awake = True
            loop = self._loop()
            if loop is not None:
                # A loop that was closed meanwhile has nobody left to tell.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._deliver)

    def watch(self, lane: Queue) -> None:
        """Look after a lane that many share, for as long as it has calls to carry out."""
        if lane.patience is not None and lane not in self._watched:
            self._watched.add(lane)
            asyncio.get_running_loop().call_later(lane.patience, self._look, lane)

    def _look(self, lane: Queue) -> None:
        self._watched.discard(lane)
        if lane.relieve():
            self.watch(lane)

    def _deliver(self) -> None:
        # Lowered first: what is posted from here on wakes the loop again, or is taken below.
        self._awake = False
        futures = self._futures
        while futures:
            future = futures.popleft()
            if not future.done():
                future.set_result(None)


_mailboxes: "WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox]" = WeakKeyDictionary()


class Pending(Generic[T]):
    """The answer to a call under way. Wait for it once, in either way.

    Args:
        owner: Who made the call.
        stage: What the call is, for the time limit's message.
        seconds: The call's time limit, counted from now.
        function: What the lane's thread calls.
        arguments: What with.
    """

    __slots__ = (
        "_arguments",
        "_claim",
        "_done",
        "_error",
        "_function",
        "_listener",
        "_open",
        "_owner",
        "_seconds",
        "_stage",
        "_value",
        "_waiter",
        "due",
    )

    def __init__(
        self,
        owner: Owner,
        stage: str,
        seconds: float,
        function: Callable[..., T],
        arguments: tuple[Any, ...],
    ) -> None:
        self._owner, self._stage, self._seconds = owner, stage, seconds
        self.due = time.monotonic() + seconds
        """When the time limit is up, on the monotonic clock; from then on `result` never waits."""
        self._function, self._arguments = function, arguments
        self._value: T | None = None
        self._error: BaseException | None = None
        self._done = False
        self._claim = threading.Lock()  # taken by whoever settles the call
        self._open = threading.Lock()  # held until it is settled
        self._open.acquire()
        self._waiter: tuple[Mailbox, asyncio.Future[None]] | None = None
        self._listener: Callable[[Pending[T]], None] | None = None

    @classmethod
    def settled(cls, owner: Owner) -> "Pending[None]":
        """Return a call that has been carried out, and gave nothing."""
        call = Pending[None](owner, "", 0.0, _nothing, ())
        call.run()
        return call

    @classmethod
    def failed(cls, owner: Owner, error: Exception) -> "Pending[Any]":
        """Return a call that failed before it began."""
        call = Pending[Any](owner, "", 0.0, _nothing, ())
        call.fail(error)
        return call

    def done(self) -> bool:
        """Whether the call is settled."""
        return self._done

    def listen(self, listener: "Callable[[Pending[T]], None]") -> None:
        """Have the listener called when the call is settled, for one who waits for many calls.

        Whichever thread settles the call calls it, and possibly twice. A listener that looks after
        many calls asks each for its `result` when it is `due`, which makes the time limit hold.
        """
        self._listener = listener
        # Settled between the first look and the line above: nobody else will tell.
        if self._done:
            listener(self)

    def result(self) -> T:
        """Wait for the answer, no longer than the call's time limit.

        Raises:
            TimeLimitError: Past the limit.
            AgentGymError: What the call raised.
        """
        lane = self._owner.lane
        while not self._done:
            left = self.due - time.monotonic()
            if left <= 0:
                self.expire()
                break
            patience = left if lane.patience is None else min(left, lane.patience)
            if self._open.acquire(timeout=patience):
                self._open.release()
                break
            lane.relieve()
        return self._outcome()

    def __await__(self) -> Generator[Any, None, T]:
        if not self._done:
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            mailbox = Mailbox.of(loop)
            self._waiter = (mailbox, future)
            # Settled between the first look and the line above: nobody will post the future.
            if not self._done:
                mailbox.watch(self._owner.lane)
                deadlines = Deadlines.here()
                deadlines.set(self)
                try:
                    yield from future
                finally:
                    deadlines.lift(self)
        return self._outcome()

    def run(self) -> None:
        """Carry out the call, unless it was given up while it waited. Called by the lane, once."""
        value: T | None = None
        error: BaseException | None = None
        if not self._done:
            try:
                value = self._function(*self._arguments)
            except BaseException as fault:
                error = fault
        if not self._settle(value, error):
            with suppress(Exception):
                self._owner.orphaned()

    def fail(self, error: Exception) -> bool:
        """Settle the call with an error; False where it is settled already."""
        return self._settle(None, error)

    def expire(self) -> None:
        """Give the call up because it is due, unless it is settled."""
        if self._claim.acquire(blocking=False):
            self._finish(None, self._owner.expire(self._stage, self._seconds))

    def _settle(self, value: T | None, error: BaseException | None) -> bool:
        if not self._claim.acquire(blocking=False):
            return False
        self._finish(value, error)
        return True

    def _finish(self, value: T | None, error: BaseException | None) -> None:
        self._value, self._error = value, error
        self._done = True
        self._open.release()
        waiter = self._waiter
        if waiter is not None:
            mailbox, future = waiter
            mailbox.post(future)
        if self._listener is not None:
            self._listener(self)

    def _outcome(self) -> T:
        if not self._done:
            # Claimed by another thread that is about to finish.
            with self._open:
                pass
        if self._error is not None:
            raise self._error
        return cast("T", self._value)


def _nothing() -> None:
    return None
