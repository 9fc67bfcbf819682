"""What clients do to a socket that no client library does for them."""

import json
import socket
import time

import httpx
import pytest

HEAD = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
UPLOADS = [b"/v1/models", b"/v1/datasets"]


def exchange(address, *pieces: bytes, limit_s: float = 10.0) -> tuple[int, dict[str, str], dict]:
    """Send the pieces; return status, headers and body of the answer, which ends the connection."""
    with socket.create_connection(address, timeout=limit_s) as connection:
        answer = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server answered and closed before everything was sent
        while True:
            try:
                chunk = connection.recv(65536)
            except ConnectionResetError:
                break
            if not chunk:
                break
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, json.loads(body)


@pytest.mark.parametrize("path", UPLOADS)
def test_two_gigabytes_are_refused_before_they_are_sent(address, leftovers, path):
    head = HEAD % path + b"Content-Length: 2147483648\r\nExpect: 100-continue\r\n\r\n"
    begun = time.monotonic()
    status, headers, body = exchange(address, head)
    assert (status, body["code"]) == (413, "too_large")
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert time.monotonic() - begun < 5
    assert leftovers() == []


@pytest.mark.parametrize("path", UPLOADS)
def test_an_upload_that_never_ends_is_cut_off(address, leftovers, path):
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(HEAD % path + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        begun = time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() - begun < 10:
                connection.sendall(chunk)
    assert leftovers() == []


@pytest.mark.parametrize("path", [*UPLOADS, b"/v1/jobs"])
def test_a_client_that_sends_all_of_a_refused_body_still_reads_the_answer(server, path):
    body = (b"x" * 65536 for _ in range(4096))
    types = {b"/v1/jobs": "application/json"}
    headers = {"Content-Type": types.get(path, "application/octet-stream")}
    answer = httpx.post(server.url + path.decode(), content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer.headers["connection"] == "close"


def test_json_that_never_ends_is_refused(address):
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"8000\r\n" + b" " * 32768 + b"\r\n"
    status, _, body = exchange(address, head, *[chunk] * 3)
    assert (status, body["code"]) == (413, "too_large")


@pytest.mark.parametrize("path", UPLOADS)
def test_an_upload_that_stalls_is_dropped(address, leftovers, path):
    status, headers, body = exchange(address, HEAD % path + b"Content-Length: 1000\r\n\r\nabc")
    assert (status, body["code"]) == (408, "request_timeout")
    assert headers["connection"] == "close"
    assert leftovers() == []


def test_a_client_that_goes_away_leaves_nothing(address, leftovers):
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(HEAD % b"/v1/models" + b"Content-Length: 1000\r\n\r\nabc")
    deadline = time.monotonic() + 10
    while leftovers() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert leftovers() == []


def test_the_service_answers_on_after_all_that(address):
    exchange(address, HEAD % b"/v1/models" + b"Content-Length: 2147483648\r\n\r\n")
    host, port = address
    assert httpx.get(f"http://{host}:{port}/healthz/live").json() == {"status": "ok"}


def test_a_target_with_raw_bytes_is_an_error_of_the_client(address):
    status, _, body = exchange(
        address, b"GET /v1/models/%00%ff%ed%a0%80 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert (status, body["code"]) == (404, "not_found")


def test_a_body_whose_length_is_told_twice_is_refused_and_the_connection_ends(address):
    head = b"POST /v1/rpu-configs/validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    body = b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    status, headers, found = exchange(address, head + body)
    assert (status, found["code"]) == (400, "ambiguous_length")
    assert headers["connection"] == "close"
