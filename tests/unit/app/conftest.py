"""The real application on a real SQLite database made by the migrations."""

import warnings
from pathlib import Path

import pytest

with warnings.catch_warnings():  # starlette would rather have another HTTP client than the product's own
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings


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
        return TestClient(create_app(settings), raise_server_exceptions=False)

    return make


@pytest.fixture
def client(settings, make_client):
    with make_client(settings) as client:
        yield client


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
