"""The application behind a real server on a real socket."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn

from app.db.session import Database
from app.db.tables import Job, Model
from app.engine.states import JobState, lock, move, record
from app.jobs.repository import JobRepository
from app.kit.wire import PatientProtocol
from app.main import create_app
from app.services import Services
from app.settings import Settings
from tests.unit.app.jobs_of import job_on

_START_S = 20.0
DEADLINE_S = 20.0


@pytest.fixture
def settings(sqlite_url, tmp_path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        database_url=sqlite_url,
        redis_url=None,
        max_upload_bytes=1024 * 1024,
        max_json_bytes=64 * 1024,
        upload_read_timeout_s=0.5,
        refusal_linger_s=1.0,
    )


@dataclass(frozen=True)
class Server:
    """A server that runs for one test."""

    address: tuple[str, int]
    services: Services

    @property
    def url(self) -> str:
        host, port = self.address
        return f"http://{host}:{port}"


@contextmanager
def running(settings: Settings, **options: Any) -> Iterator[Server]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    app = create_app(settings)
    options = {"http": PatientProtocol, "ws": "none", "timeout_graceful_shutdown": 5, **options}
    config = uvicorn.Config(app, log_level="warning", **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    deadline = time.monotonic() + _START_S
    while not server.started and time.monotonic() < deadline and thread.is_alive():
        time.sleep(0.01)
    assert server.started
    yield Server(listener.getsockname(), app.state.services)
    server.should_exit = True
    thread.join(timeout=_START_S)
    listener.close()


@pytest.fixture
def server(settings) -> Iterator[Server]:
    with running(settings) as server:
        yield server


@pytest.fixture
def address(server) -> tuple[str, int]:
    """(host, port) of the server."""
    return server.address


@pytest.fixture
def leftovers(settings):
    """What lies in the blob store."""

    def found() -> list[str]:
        paths = (settings.data_dir / "blobs").rglob("*")
        return [path.name for path in paths if path.is_file() and path.name != "installation"]

    return found


class Story:
    """A job whose events a test writes, as a worker on another machine would."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.transaction() as session:
            model = Model(name="m", sha256="0" * 64, size_bytes=1, blob_key="models/m", report={})
            session.add(model)
            session.flush()
            job = job_on(model.id)
            job.version = 0
            session.add(job)
            session.flush()
            record(session, job, "job.queued")
            move(session, job, JobState.RUNNING)
            self.id = job.id

    def tell(self, event_type: str, **data: object) -> None:
        """Append an event."""
        self._change(lambda session, job: record(session, job, event_type, data))

    def end(self) -> None:
        """Have the job succeed."""
        self._change(lambda session, job: move(session, job, JobState.SUCCEEDED))

    def vanish(self) -> None:
        """Have the job end and be deleted at once."""
        self._change(lambda session, job: JobRepository(session).delete(job))

    def progress(self) -> None:
        """Have the job's version grow without an event."""
        self._change(lambda _, job: setattr(job, "version", job.version + 1))

    def _change(self, change: Callable[..., None]) -> None:
        with self._database.transaction() as session:
            job = lock(session, self.id)
            assert isinstance(job, Job)
            change(session, job)


@pytest.fixture
def story(settings) -> Iterator[Story]:
    database = Database(settings.resolved_database_url)
    yield Story(database)
    database.dispose()
