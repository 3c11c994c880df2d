import socket

import pytest

from agentgym.errors import UsageError
from agentgym.server.serving import chosen_token, is_loopback, listening


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_loopback_a_token_is_made_if_none_is_given(host: str) -> None:
    made = chosen_token(host, None, auth=True)
    assert made is not None
    assert len(made) >= 32
    assert made != chosen_token(host, None, auth=True)
    assert chosen_token(host, "mine", auth=True) == "mine"
    assert chosen_token(host, None, auth=False) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", ""])
def test_where_others_reach_it_there_is_no_server_without_a_token(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(UsageError, match="AGENTGYM_TOKEN"):
        chosen_token(host, None, auth=True)
    with pytest.raises(UsageError, match="--no-auth is for 127"):
        chosen_token(host, "mine", auth=False)
    assert chosen_token(host, "mine", auth=True) == "mine"


@pytest.mark.parametrize("token", ["", " ", "grüße", "a b", "a\nb"])
def test_a_token_that_no_header_carries_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="token"):
        chosen_token("127.0.0.1", token, auth=True)


def test_a_connection_sends_what_it_has_at_once() -> None:
    with listening("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname(), 5):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
