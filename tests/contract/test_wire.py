"""What clients do to a socket that no client library does for them."""

import gzip
import io
import json
import socket
import time
import zipfile

import httpx
import numpy as np
import pytest

from tests.contract.conftest import running
from tests.waiting import until

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


def rest_of(connection: socket.socket) -> bytes:
    """Return what still comes until the connection ends."""
    answer = b""
    connection.settimeout(10)
    try:
        while chunk := connection.recv(65536):
            answer += chunk
    except ConnectionResetError:
        pass
    return answer


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


@pytest.mark.parametrize("path", [*UPLOADS, b"/v1/jobs"])
def test_a_body_that_drips_is_dropped(address, leftovers, path):
    """Each read succeeds in time, and the whole would take for ever."""
    head = HEAD if path in UPLOADS else HEAD.replace(b"octet-stream", b"json")
    head = head % path + b"Content-Length: 10000\r\n\r\n"
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(head)
        connection.settimeout(0.1)
        answer = b""
        for _ in range(200):  # 20 s of a byte each 0.1 s
            try:
                connection.sendall(b" ")
                answer = connection.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                break
            answer += rest_of(connection)
            break
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"are too few" in answer
    assert leftovers() == []


def test_more_uploads_than_there_are_places_wait_and_are_told_to_come_again(settings, leftovers):
    """While two are being received the next is refused after a while, and everything else answered."""
    few = settings.model_copy(update={"max_uploads_at_once": 2, "upload_read_timeout_s": 4.0})
    upload = HEAD % b"/v1/models" + b"Connection: close\r\n"
    with running(few) as server:
        places = server.services.uploads
        held = [socket.create_connection(server.address, timeout=10) for _ in range(2)]
        for connection in held:
            connection.sendall(upload + b"Content-Length: 500000\r\n\r\n" + b"x" * 100_000)
        until(lambda: places.free == 0, "the places to be taken")
        status, headers, body = exchange(server.address, upload + b"Content-Length: 3\r\n\r\nabc")
        assert (status, body["code"], headers["retry-after"]) == (503, "too_busy", "5")
        assert httpx.get(f"{server.url}/v1/models").status_code == 200
        waiting = socket.create_connection(server.address, timeout=10)
        waiting.sendall(upload + b"Content-Length: 3\r\n\r\nabc")
        for connection in held:
            connection.close()
        assert waiting.recv(65536).startswith(b"HTTP/1.1 422 ")
        waiting.close()
        until(lambda: not leftovers() and places.free == 2, "the places to be free")


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"gzip, gzip", b"zstd"])
@pytest.mark.parametrize("path", [*UPLOADS, b"/v1/jobs"])
def test_a_compressed_body_is_refused_unread(address, leftovers, path, coding):
    kind = b"application/json" if b"jobs" in path else b"application/octet-stream"
    head = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + kind
    bomb = gzip.compress(b"\0" * 50_000_000)
    length = b"\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    status, headers, body = exchange(address, head + b"\r\nContent-Encoding: " + coding + length, bomb)
    assert (status, body["code"]) == (415, "unsupported_content_encoding")
    assert headers["accept-encoding"] == "identity"
    assert leftovers() == []


@pytest.mark.parametrize("name", ["bomb.csv.gz", "bomb.onnx.gz", "bomb.npz", "bomb.zip"])
def test_a_file_that_unpacks_to_much_more_is_refused(server, leftovers, name):
    """300 MB of zeros in some hundred kilobytes."""
    zeros = b"\0" * 300_000_000
    if name.endswith(".gz"):
        content = gzip.compress(zeros, 1)
    else:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            if name.endswith(".npz"):
                header = io.BytesIO()
                np.lib.format.write_array_header_1_0(
                    header, {"descr": "<f4", "fortran_order": False, "shape": (75_000, 1000)}
                )
                archive.writestr("x.npy", header.getvalue() + zeros)
                archive.writestr("y.npy", b"")
            else:
                archive.writestr("model.onnx", zeros)
        content = packed.getvalue()
    path = "/v1/models" if "onnx" in name or name.endswith(".zip") else "/v1/datasets"
    headers = {"Content-Type": "application/octet-stream"}
    answer = httpx.post(f"{server.url}{path}", content=content, headers=headers, timeout=60)
    assert answer.status_code in (413, 422), answer.text
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
