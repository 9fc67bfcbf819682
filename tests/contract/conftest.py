"""The application behind a real server on a real socket."""

import socket
import threading
import time

import pytest
import uvicorn

from app.main import create_app
from app.settings import Settings

_START_S = 20.0


@pytest.fixture
def settings(sqlite_url, tmp_path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        database_url=sqlite_url,
        redis_url=None,
        max_upload_bytes=1024 * 1024,
        max_json_bytes=64 * 1024,
        upload_read_timeout_s=0.5,
    )


@pytest.fixture
def address(settings):
    """(host, port) of a server that runs for this test."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    deadline = time.monotonic() + _START_S
    while not server.started and time.monotonic() < deadline and thread.is_alive():
        time.sleep(0.01)
    assert server.started
    yield listener.getsockname()
    server.should_exit = True
    thread.join(timeout=_START_S)
    listener.close()


@pytest.fixture
def leftovers(settings):
    """What lies in the blob store."""

    def found() -> list[str]:
        return [path.name for path in (settings.data_dir / "blobs").rglob("*") if path.is_file()]

    return found
