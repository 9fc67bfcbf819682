"""What the endpoints work with, made once at start, and the transactions they do it in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from sqlalchemy.orm import Session
from starlette.requests import HTTPConnection

from app.db.blobs import BlobStore
from app.db.schema import SchemaGuard
from app.db.session import Database
from app.jobs.broker import Doorbell
from app.jobs.reader import ResultReader
from app.jobs.watch import JobWatch
from app.kit.inspection import Inspector
from app.kit.problems import Unavailable
from app.settings import Settings

log = logging.getLogger(__name__)

_AFTER_COMMIT = "driftline_after_commit"


@dataclass(frozen=True)
class Services:
    """What lives as long as the application."""

    settings: Settings
    database: Database
    blobs: BlobStore
    schema: SchemaGuard
    doorbell: Doorbell
    inspector: Inspector
    watch: JobWatch
    results: ResultReader


def services_of(connection: HTTPConnection) -> Services:
    """Return the services of the application that the request came to."""
    services: Services = connection.app.state.services
    return services


def write_transaction(connection: HTTPConnection) -> Iterator[Session]:
    """Yield the request's session, which may write; committed before the answer is sent.

    An exception of the endpoint rolls back; one of the commit itself becomes the answer.
    """
    services = services_of(connection)
    require_schema(services)
    with services.database.transaction() as session:
        yield session
    run_after_commit(session)


def read_snapshot(connection: HTTPConnection) -> Iterator[Session]:
    """Yield the request's session for reading one consistent snapshot."""
    with snapshot(services_of(connection)) as session:
        yield session


@contextmanager
def snapshot(services: Services) -> Iterator[Session]:
    """Yield a session for reading one consistent snapshot, for as long as the reader wants."""
    require_schema(services)
    with services.database.reading() as session:
        yield session


def require_schema(services: Services) -> None:
    """Refuse to work on a database whose schema is older or newer than the code.

    Raises:
        Unavailable: it is; the answer says what to run.
    """
    fault = services.schema.fault()
    if fault is not None:
        raise Unavailable(fault, code="schema_mismatch")


def after_commit(session: Session, action: Callable[[], object]) -> None:
    """Have something done when the request's transaction is committed, and never otherwise."""
    session.info.setdefault(_AFTER_COMMIT, []).append(action)


def run_after_commit(session: Session) -> None:
    """Do what was left for after the commit; a failure there is logged, since the commit stands."""
    for action in session.info.pop(_AFTER_COMMIT, []):
        try:
            action()
        except Exception:
            log.exception("an action after a commit failed")


# `scope="function"`: the transaction ends when the endpoint has returned and before the answer is sent.
ServicesDep = Annotated[Services, Depends(services_of)]
WriteSession = Annotated[Session, Depends(write_transaction, scope="function")]
ReadSession = Annotated[Session, Depends(read_snapshot, scope="function")]
