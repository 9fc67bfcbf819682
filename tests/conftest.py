"""What all tests share: databases made by the migrations, and the servers that some tests need.

Tests that need PostgreSQL or Redis use `TEST_POSTGRES_URL` and `TEST_REDIS_URL`, by default the servers on this
machine. Where there is none they skip and say so; with `DRIFTLINE_TEST_REQUIRE_SERVERS=1` they fail instead.
Nothing that a server holds is touched: a database of its own is made and dropped.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import fsspec
import pytest
import redis
import sqlalchemy as sa
from moto.server import ThreadedMotoServer

from app.db.ids import new_id
from app.db.migrate import migrate
from app.db.session import Database

POSTGRES_URL = os.environ.get("TEST_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379")
TO_BE_SEEN = "to be seen"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the numbers that tests recorded under `TO_BE_SEEN`."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == TO_BE_SEEN:
                terminalreporter.write_line(str(value))


def _need(name: str, url: str, default_port: int) -> None:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "127.0.0.1", parts.port or default_port), 2).close()
    except OSError as error:
        message = f"no {name} at {parts.hostname}:{parts.port} ({error})"
        if os.environ.get("DRIFTLINE_TEST_REQUIRE_SERVERS") == "1":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def redis_url() -> Iterator[str]:
    """A Redis server's database that holds nothing and that no other test process uses; emptied at the end."""
    _need("Redis", REDIS_URL, 6379)
    with redis.Redis.from_url(REDIS_URL) as server:
        databases = int(server.config_get("databases")["databases"])
    for number in reversed(range(databases)):
        url = urlsplit(REDIS_URL)._replace(path=f"/{number}").geturl()
        with redis.Redis.from_url(url) as server:
            if server.dbsize() == 0 and server.set("driftline_test", "taken", nx=True, ex=3600):
                try:
                    yield url
                finally:
                    server.flushdb()
                return
    pytest.fail(f"no empty database among the {databases} of the Redis server at {REDIS_URL}")


@pytest.fixture(scope="session")
def _s3_server() -> Iterator[str]:
    """A real server that speaks S3, on this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_url(_s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket; the environment says where the server is and who asks."""
    for name, value in {
        "AWS_ENDPOINT_URL": _s3_server,
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "no secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"driftline-{new_id()}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(bucket)
    return f"s3://{bucket}/blobs"


@contextmanager
def _postgres_database(template: str | None = None) -> Iterator[str]:
    """Make a database, and drop it at the end; yield its URL."""
    server = sa.create_engine(POSTGRES_URL, isolation_level="AUTOCOMMIT")
    name = f"driftline_test_{new_id().replace('-', '')}"
    origin = "" if template is None else f' TEMPLATE "{sa.make_url(template).database}"'
    with server.connect() as connection:
        connection.execute(sa.text(f'CREATE DATABASE "{name}"{origin}'))
    try:
        yield sa.make_url(POSTGRES_URL).set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        server.dispose()


@pytest.fixture(scope="session")
def _migrated_postgres() -> Iterator[str]:
    _need("PostgreSQL", POSTGRES_URL, 5432)
    with _postgres_database() as url:
        migrate(url)
        yield url


@pytest.fixture
def postgres_url(_migrated_postgres: str) -> Iterator[str]:
    """A PostgreSQL database of this test, migrated."""
    with _postgres_database(_migrated_postgres) as url:
        yield url


@pytest.fixture(scope="session")
def _migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("migrated") / "driftline.db"
    migrate(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture
def sqlite_url(tmp_path: Path, _migrated_sqlite: bytes) -> str:
    """A SQLite database of this test, migrated."""
    path = tmp_path / "driftline.db"
    path.write_bytes(_migrated_sqlite)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Each of the two databases, one after the other."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open database of each kind."""
    database = Database(database_url)
    yield database
    database.dispose()
