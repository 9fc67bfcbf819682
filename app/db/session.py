"""The database: one engine, and transactions that behave alike on SQLite and PostgreSQL."""

from __future__ import annotations

import copy
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, create_engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker

from app.db.scope import scoped
from app.db.types import database_now_s
from app.db.writers import WriteTurns

log = logging.getLogger(__name__)

_BUSY_TIMEOUT_S = 30
_READ_ONLY = "driftline_read_only"
# As many connections as the API has threads that use one.
_POOL = {"pool_size": 20, "max_overflow": 20, "pool_timeout": 10.0}
_CONNECT_TIMEOUT_S = 5
_STATEMENT_TIMEOUT_MS = 60_000
_LOCK_TIMEOUT_MS = 20_000
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
# What SQLite calls an operational error and another attempt would meet again.
_LASTING = ("no such table", "no such column", "syntax error", "readonly database", "unable to open")

Result = TypeVar("Result")


def is_transient(error: BaseException) -> bool:
    """Return whether a database error may be gone at another attempt.

    Such are lost, refused and cut connections, a server that restarts, deadlocks, locks that were not had in
    time, and a pool without a free connection.
    """
    if isinstance(error, PoolTimeoutError | InterfaceError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, OperationalError) and not any(what in str(error.orig) for what in _LASTING)


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
                parsed, connect_args={"timeout": _BUSY_TIMEOUT_S}, json_serializer=_to_json, **_POOL
            )
            event.listen(self.engine, "connect", partial(_prepare_sqlite, foreign_keys=sqlite_foreign_keys))
            turns = WriteTurns(_BUSY_TIMEOUT_S)
            turns.end_with(self.engine)
            event.listen(self.engine, "begin", partial(_begin_sqlite, turns=turns))
        else:
            timeouts = f"-c statement_timeout={_STATEMENT_TIMEOUT_MS} -c lock_timeout={_LOCK_TIMEOUT_MS}"
            self.engine = create_engine(
                parsed,
                connect_args={"connect_timeout": _CONNECT_TIMEOUT_S, "options": timeouts},
                pool_pre_ping=True,
                json_serializer=_to_json,
                **_POOL,
            )
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._project: Callable[[], str | None] = _every_project

    def within(self, project: Callable[[], str | None]) -> Self:
        """Return the same database, whose sessions see one project alone (`app.db.scope`).

        Args:
            project: returns the project as a session begins, None for every project; it raises where there
                is none, so that nothing is seen.
        """
        view = copy.copy(self)
        view._project = project  # noqa: SLF001 - ours
        return view

    @property
    def all_projects(self) -> Self:
        """The same database, whose sessions see everything: for what serves no client."""
        return self.within(_every_project)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yield a session that may write; commit at the end, roll back on an exception."""
        project = self._project()
        with self._sessions.begin() as session:
            yield scoped(session, project)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session for reading one consistent snapshot, without the write lock."""
        project = self._project()
        with self._sessions() as session:
            options = {_READ_ONLY: True}
            if not self.is_sqlite:
                options["isolation_level"] = "REPEATABLE READ"  # type: ignore[assignment]
            session.connection(execution_options=options)
            yield scoped(session, project)

    def retrying(
        self, work: Callable[[Session], Result], *, for_s: float, what: str, read_only: bool = False
    ) -> Result:
        """Do the work in a transaction, anew while the database is away for a moment; return its result.

        The outcome of a commit whose answer is lost is unknown: the work must be one that may be done twice.

        Args:
            work: what is done with the session.
            for_s: how long it is tried, from the first fault on.
            what: names the work in the log.
            read_only: whether it only reads.

        Raises:
            SQLAlchemyError: the fault is not transient, or it lasted.
        """
        pause_s = _FIRST_PAUSE_S
        failing_since: float | None = None
        while True:
            try:
                with self.reading() if read_only else self.transaction() as session:
                    result = work(session)
            except Exception as error:
                now = time.monotonic()
                if failing_since is None:
                    failing_since = now
                if not is_transient(error) or now - failing_since > for_s:
                    raise
                if pause_s == _FIRST_PAUSE_S:
                    log.warning(
                        "the database is away (%s: %s); trying again for %g s", what, reason(error), for_s
                    )
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                if failing_since is not None:
                    log.info(
                        "the database is back (%s, after %.1f s)", what, time.monotonic() - failing_since
                    )
                return result

    def dispose(self) -> None:
        """Close all connections; those in use as soon as they come back."""
        pool = self.engine.pool
        self.engine.dispose()
        event.listen(pool, "checkin", _close)


def database_time_s(session: Session) -> float:
    """Return the database's clock: seconds since 1970."""
    return float(session.scalars(select(database_now_s())).one())


def _close(connection: Any, record: Any) -> None:
    del connection
    record.invalidate()


def _every_project() -> None:
    return None


def reason(error: BaseException) -> str:
    """Return a database error in one line."""
    text = str(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error)
    return (text.strip().splitlines() or [type(error).__name__])[0]


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


def _begin_sqlite(connection: Connection, *, turns: WriteTurns) -> None:
    if connection.get_execution_options().get(_READ_ONLY, False):
        connection.exec_driver_sql("BEGIN")
        return
    turns.begin(connection)
    # A writer takes the lock at once: an upgrade in mid-transaction could only fail.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
