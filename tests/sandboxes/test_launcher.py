"""The launcher, outside of a box: what it does where it can't do what it is asked for."""

import errno
import os
import socket
import threading
from collections.abc import Sequence

import pytest
from leavings import descriptors

from agentgym.sandboxes.jail import launcher


def never(_: Sequence[int]) -> None:
    raise AssertionError("there is no fork to become anything")


def test_a_fork_that_fails_is_told_and_leaves_no_descriptor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fork() -> int:
        raise OSError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(launcher.os, "fork", fork)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    serving = threading.Thread(target=launcher._serve, args=(theirs, never))
    with open(os.devnull) as nothing, ours, theirs:
        ours.settimeout(10)
        before = descriptors()
        serving.start()
        for _ in range(3):
            socket.send_fds(ours, [launcher._START], [nothing.fileno()] * 5)
            assert launcher._STARTED.unpack(ours.recv(64)) == (-errno.EAGAIN, False)
        assert descriptors() <= before + 5
        ours.shutdown(socket.SHUT_RDWR)
        serving.join(10)
        assert descriptors() == before
