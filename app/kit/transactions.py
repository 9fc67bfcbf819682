"""The transactions that endpoints work in: one to write, or a snapshot to read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Protocol

from fastapi import Depends
from sqlalchemy.orm import Session
from starlette.requests import HTTPConnection

from app.db.blobs import BlobStore
from app.db.schema import SchemaGuard
from app.db.session import Database
from app.kit.access import Access
from app.kit.problems import Unavailable
from app.settings import Settings

if TYPE_CHECKING:
    from app.kit.uploads import UploadPlaces

log = logging.getLogger(__name__)

_AFTER_COMMIT = "driftline_after_commit"


class Application(Protocol):
    """What an application keeps in `app.state.services` for this package."""

    @property
    def settings(self) -> Settings:
        """The settings."""

    @property
    def access(self) -> Access:
        """Knows the callers."""

    @property
    def database(self) -> Database:
        """The database, as the caller sees it."""

    @property
    def blobs(self) -> BlobStore:
        """The blob store."""

    @property
    def uploads(self) -> UploadPlaces:
        """The places for uploads."""

    @property
    def schema(self) -> SchemaGuard:
        """Knows whether the database's schema fits the code."""


def application_of(connection: HTTPConnection) -> Application:
    """Return the application that the request came to."""
    application: Application = connection.app.state.services
    return application


def write_transaction(connection: HTTPConnection) -> Iterator[Session]:
    """Yield the request's session, which may write; committed before the answer is sent.

    An exception of the endpoint rolls back; one of the commit itself becomes the answer.
    """
    application = application_of(connection)
    require_schema(application)
    with application.database.transaction() as session:
        yield session
    run_after_commit(session)


def read_snapshot(connection: HTTPConnection) -> Iterator[Session]:
    """Yield the request's session for reading one consistent snapshot."""
    with snapshot(application_of(connection)) as session:
        yield session


@contextmanager
def snapshot(application: Application) -> Iterator[Session]:
    """Yield a session for reading one consistent snapshot, for as long as the reader wants."""
    require_schema(application)
    with application.database.reading() as session:
        yield session


def require_schema(application: Application) -> None:
    """Refuse to work on a database whose schema is older or newer than the code.

    Raises:
        Unavailable: it is; the answer says what to run.
    """
    fault = application.schema.fault()
    if fault is not None:
        raise Unavailable(fault, code="schema_mismatch")


def after_commit(session: Session, action: Callable[[], object]) -> None:
    """Register an action for the moment after the commit of the request's transaction."""
    session.info.setdefault(_AFTER_COMMIT, []).append(action)


def run_after_commit(session: Session) -> None:
    """Run the actions that were registered; a failure is logged, since the commit stands."""
    for action in session.info.pop(_AFTER_COMMIT, []):
        try:
            action()
        except Exception:
            log.exception("an action after a commit failed")


# `scope="function"`: the transaction ends when the endpoint has returned and before the answer is sent.
WriteSession = Annotated[Session, Depends(write_transaction, scope="function")]
ReadSession = Annotated[Session, Depends(read_snapshot, scope="function")]
