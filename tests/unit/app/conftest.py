"""The real application on a real SQLite database made by the migrations."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

with warnings.catch_warnings():  # starlette would rather have another HTTP client than the product's own
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

from app.db.ids import new_id
from app.db.session import Database
from app.db.tables import Job, Model, WorkItem
from app.jobs.repository import JobRepository
from app.main import create_app
from app.monitoring import logs
from app.settings import Settings

LOCAL = "http://localhost"


@pytest.fixture
def settings(sqlite_url, tmp_path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        database_url=sqlite_url,
        redis_url=None,
        max_upload_bytes=4 * 1024 * 1024,
        max_json_bytes=256 * 1024,
        upload_read_timeout_s=5.0,
    )


@pytest.fixture
def make_client():
    def make(settings: Settings) -> TestClient:
        return TestClient(create_app(settings), LOCAL, raise_server_exceptions=False)

    return make


@pytest.fixture
def client(settings, make_client):
    with make_client(settings) as client:
        yield client


@pytest.fixture
def configure_log():
    """Configure the log for one test, as a process does at its start, and put back what was there."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield logs.configure
    root.handlers[:], root.level = before, level


@pytest.fixture
def leftovers_in():
    """What lies in the blob store of a data folder, as relative paths."""

    def found(data_dir: Path) -> list[str]:
        folder = data_dir / "blobs"
        return sorted(
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.is_file() and path.name != "installation"
        )

    return found


@pytest.fixture
def leftovers(settings, leftovers_in):
    """What lies in the test's blob store."""
    return lambda: leftovers_in(settings.data_dir)


MakeJob = Callable[..., str]


@pytest.fixture
def make_job(database: Database) -> MakeJob:
    """Store a queued job with the given items: (key, needs) pairs."""

    def make(*items: tuple[str, list[str]], priority: int = 0) -> str:
        with database.transaction() as session:
            model = Model(
                name="m", sha256=new_id().replace("-", "") * 2, size_bytes=1, blob_key="models/m", report={}
            )
            session.add(model)
            session.flush()
            job = Job(
                state="queued",
                spec={"task": "classification"},
                effective_config={},
                config_hash="0" * 64,
                execution={},
                tags=[],
                warnings=[],
                seed=1,
                model_id=model.id,
                dataset_ref="builtin:digits",
                priority=priority,
                progress_total=100 * len(items),
            )
            rows = [
                WorkItem(
                    key=key,
                    kind=key.partition(":")[0],
                    payload={"variant": "hwa"},
                    needs=needs,
                    state="blocked" if needs else "queued",
                    progress_total=100,
                )
                for key, needs in items
            ]
            JobRepository(session).add(job, rows, {})
            return job.id

    return make
