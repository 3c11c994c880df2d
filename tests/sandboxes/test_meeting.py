"""Where a container's keeper and its host meet, without a container."""

import os
import socket
import tempfile
from pathlib import Path

import pytest
from leavings import descriptors

from agentgym.errors import InfraError
from agentgym.sandboxes import meeting
from agentgym.sandboxes.jail import network
from agentgym.sandboxes.meeting import Meeting


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where meetings are: a path that is longer than a socket's may be."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_socket_is_brought_and_nothing_is_left(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "PORT", 0)
    before = descriptors()
    with Meeting() as met, monkeypatch.context() as patched:
        # A keeper sees the folder where the container has it.
        place = os.open(met.folder, os.O_RDONLY)
        patched.setattr(network, "MEETING", f"/proc/self/fd/{place}")
        network.hand_over_at_meeting()
        os.close(place)
        with met.loopback() as listener:
            where = listener.getsockname()
            assert where[0] == "127.0.0.1"
            socket.create_connection(where, 10).close()
    assert (list(temporary.iterdir()), descriptors()) == ([], before)


def test_others_on_this_machine_can_t_come(temporary: Path) -> None:
    with Meeting() as met:
        (outer,) = temporary.iterdir()
        assert Path(met.folder).parent == outer
        assert (outer.stat().st_mode & 0o777, outer.stat().st_uid) == (0o700, os.geteuid())


def test_where_there_can_be_none_is_said(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = descriptors()
    monkeypatch.setattr(meeting, "MEETING_SOCKET", "long" * 30)
    with pytest.raises(InfraError, match=r"AF_UNIX path too long.*TMPDIR"):
        Meeting()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "nowhere"))
    with pytest.raises(InfraError, match=r"No such file or directory.*TMPDIR"):
        Meeting()
    assert (list(temporary.iterdir()), descriptors()) == ([], before)


def test_nobody_is_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "_ACCEPT_SECONDS", 0.1)
    with Meeting() as met, pytest.raises(InfraError, match="did not come to the host: timed out"):
        met.loopback()


def test_a_keeper_that_comes_with_nothing_is_said() -> None:
    with Meeting() as met, socket.socket(socket.AF_UNIX) as keeper:
        place = os.open(met.folder, os.O_RDONLY)
        keeper.connect(f"/proc/self/fd/{place}/{network.MEETING_SOCKET}")
        os.close(place)
        keeper.shutdown(socket.SHUT_RDWR)
        with pytest.raises(InfraError, match="its keeper has died"):
            met.loopback()
