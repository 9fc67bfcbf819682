"""A server that is told to stop does not wait for those who wait."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from tests.contract.conftest import DEADLINE_S
from tests.waiting import until


@pytest.fixture
def process(settings, story):
    """The server as a process of its own, and its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    command = [sys.executable, "-m", "app", "--fd"]
    process = subprocess.Popen(
        [*command, str(listener.fileno()), "--log-level", "warning"],
        pass_fds=[listener.fileno()],
        env={**os.environ, **settings.to_environment()},
        stderr=subprocess.PIPE,
        text=True,
    )
    host, port = listener.getsockname()
    listener.close()
    yield process, f"http://{host}:{port}/v1/jobs/{story.id}"
    process.kill()
    process.communicate()


def test_it_ends_streams_and_long_polls_and_then_itself(process):
    server, job = process
    newest = httpx.get(job, timeout=DEADLINE_S).headers["etag"]
    url = httpx.URL(job)
    request = f"GET {url.path}?wait=60 HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {newest}\r\nConnection: close\r\n\r\n"
    with (
        socket.create_connection((url.host, url.port), timeout=DEADLINE_S) as poll,
        httpx.stream("GET", f"{job}/events", headers={"Accept": "text/event-stream"}) as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines) == "retry: 1000"
        poll.sendall(request.encode())
        assert httpx.get(job).status_code == 200  # and so the poll before it has arrived
        begun = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert [line for line in lines if line][-1] == "retry: 1000"
        assert poll.recv(65536).startswith(b"HTTP/1.1 304 ")
    until(lambda: server.poll() is not None, "the server to end")
    assert time.monotonic() - begun < 10
    assert "Traceback" not in server.stderr.read()
