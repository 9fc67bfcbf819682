"""The database: one engine, and transactions that behave alike on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session, sessionmaker

_BUSY_TIMEOUT_S = 30
_READ_ONLY = "driftline_read_only"


class Database:
    """The engine of one process. It must not cross a fork: call `dispose` in the child, or make a new one."""

    def __init__(self, url: str, *, sqlite_foreign_keys: bool = True) -> None:
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            if parsed.database is None or parsed.database == ":memory:":
                raise ValueError("the database must be a file: several processes share it")
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            self.engine = create_engine(
                parsed, connect_args={"timeout": _BUSY_TIMEOUT_S}, json_serializer=_to_json
            )
            event.listen(self.engine, "connect", partial(_prepare_sqlite, foreign_keys=sqlite_foreign_keys))
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            self.engine = create_engine(parsed, pool_pre_ping=True, json_serializer=_to_json)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yield a session that may write; commit at the end, roll back on an exception."""
        with self._sessions.begin() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session for reading one consistent snapshot, without the write lock."""
        with self._sessions() as session:
            options = {_READ_ONLY: True}
            if not self.is_sqlite:
                options["isolation_level"] = "REPEATABLE READ"  # type: ignore[assignment]
            session.connection(execution_options=options)
            yield session

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _to_json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def _prepare_sqlite(connection: Any, record: Any, *, foreign_keys: bool) -> None:
    del record
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives a power cut
    cursor.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at once: an upgrade in mid-transaction could only fail.
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
