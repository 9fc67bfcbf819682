"""Clients that never finish the head of a request, and those that take their time in between."""

import socket
import time

import pytest

from app.kit.wire import PatientProtocol
from tests.contract.conftest import running

PATIENCE_S = 0.5
REQUEST = b"GET /healthz/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Impatient(PatientProtocol):
    head_s = PATIENCE_S


@pytest.fixture
def address(settings):
    with running(settings, http=Impatient) as server:
        yield server.address


@pytest.fixture
def connection(address):
    with socket.create_connection(address, timeout=20) as connection:
        yield connection


def rest(connection) -> bytes:
    """Return all that comes until the server closes the connection."""
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
    return answer


def dribble(connection, head: bytes) -> None:
    """Send a head byte by byte, for longer than the server's patience, without its end."""
    try:
        for byte in head:
            connection.sendall(bytes([byte]))
            time.sleep(2 * PATIENCE_S / len(head))
    except (BrokenPipeError, ConnectionResetError):
        pass


def test_a_connection_that_says_nothing_is_closed(connection):
    assert rest(connection) == b""


def test_half_a_head_is_answered_408(connection):
    connection.sendall(b"GET /healthz/live HTTP/1.1\r\nHost: local")
    assert rest(connection).startswith(b"HTTP/1.1 408 ")


def test_bytes_that_come_one_by_one_buy_no_time(connection):
    dribble(connection, b"GET /healthz/live HTTP/1.1\r\nX-Slow: yes")
    assert rest(connection).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("together", [True, False])
def test_the_head_of_a_second_request_must_arrive_too(connection, together):
    half = b"GET /healthz/live HT"
    connection.sendall(REQUEST + half if together else REQUEST)
    answer = connection.recv(65536)
    if not together:
        connection.sendall(half)
    answer += rest(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in answer


def test_a_client_may_pause_between_two_requests(connection):
    for _ in range(3):
        connection.sendall(REQUEST)
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 ")
        time.sleep(2 * PATIENCE_S)
