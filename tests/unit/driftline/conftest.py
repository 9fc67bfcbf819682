"""A real HTTP server that answers as a test says, and the real API without workers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from app.settings import Settings
from driftline import Driftline
from tests.contract.conftest import running


@dataclass(frozen=True)
class Received:
    """A request that the server got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What the server answers; `hang_up` closes the connection instead."""

    status: int = 200
    value: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    hang_up: bool = False


class Script:
    """A server that gives one answer after another, and the last one for ever."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[Answer] = []
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"script": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def will(self, *answers: Answer) -> None:
        self.answers = list(answers)

    def next(self, received: Received) -> Answer:
        with self._lock:
            self.received.append(received)
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class _Handler(BaseHTTPRequestHandler):
    script: Script
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.script.next(Received(self.command, self.path, headers, body))
        if answer.hang_up:
            self.close_connection = True
            return
        content = json.dumps(answer.value).encode() if answer.raw is None else answer.raw
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if answer.status not in (204, 304):
            self.wfile.write(content)

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()
    thread = threading.Thread(target=script.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield script
    script.server.shutdown()
    thread.join()
    script.server.server_close()


@pytest.fixture
def to_script(script) -> Iterator[Driftline]:
    """A client of the scripted server."""
    with Driftline(script.url, retries=3, timeout_s=5) as driftline:
        yield driftline


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat at once; how long pauses are has tests of its own."""
    monkeypatch.setattr("driftline.core.retries.FIRST_PAUSE_S", 0.001)


@pytest.fixture
def api(sqlite_url, tmp_path) -> Iterator[Any]:
    """The real API on a real socket; jobs stay queued, since there is no worker."""
    settings = Settings(data_dir=tmp_path / "data", database_url=sqlite_url, redis_url=None)
    with running(settings) as server:
        yield server


@pytest.fixture
def driftline(api) -> Iterator[Driftline]:
    """A client of the real API."""
    with Driftline(api.url) as driftline:
        yield driftline


Problem = Callable[..., Answer]


@pytest.fixture
def problem() -> Problem:
    """Make the answer of a problem."""

    def make(status: int, code: str = "wrong", **headers: str) -> Answer:
        body = {"status": status, "code": code, "detail": "it is wrong", "errors": [], "request_id": "r1"}
        return Answer(
            status, body, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    return make
