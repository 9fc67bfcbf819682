"""The socket between supervisor, zygote and runner, when one of them dies."""

from __future__ import annotations

import socket

import pytest

from worker.protocol import receive, send


@pytest.mark.parametrize("has_read", [True, False])
def test_whoever_is_gone_has_nothing_to_say(has_read):
    """A side that dies with something unread resets the connection; that is no other end than any."""
    ours, theirs = socket.socketpair()
    with ours:
        send(ours, {"run": {}})
        if has_read:
            receive(theirs)
        theirs.close()
        assert receive(ours) == b""


def test_what_was_said_before_is_still_heard():
    ours, theirs = socket.socketpair()
    with ours:
        send(theirs, {"done": {}})
        theirs.close()
        assert receive(ours) == b'{"done": {}}\n'
        assert receive(ours) == b""
