"""The queries of idempotency keys: the API stores and finds them, workers sweep the expired ones away.

A key is one of a project: another project's is another key.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.db.scope import project_of
from app.db.tables import DEFAULT_PROJECT, IdempotencyKey
from app.db.types import utc_now


def find(session: Session, key: str) -> IdempotencyKey | None:
    """Return what is kept under the key; an expired one is dropped first."""
    session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.key == key, IdempotencyKey.expires_at <= utc_now())
    )
    return session.scalars(select(IdempotencyKey).where(IdempotencyKey.key == key)).one_or_none()


def is_kept(session: Session, key: str) -> bool:
    """Return whether something is kept under the key that has not expired."""
    query = select(IdempotencyKey.key).where(IdempotencyKey.key == key, IdempotencyKey.expires_at > utc_now())
    return session.scalars(query).one_or_none() is not None


def try_lock(session: Session, key: str) -> bool:
    """Lock the key until the transaction ends; return False when another transaction has it locked.

    On SQLite writers come one after another anyway, so it is always ours.
    """
    if session.get_bind().dialect.name != "postgresql":
        return True
    named = f"idempotency:{project_of(session) or DEFAULT_PROJECT}:{key}"
    digest = hashlib.sha256(named.encode()).digest()
    number = int.from_bytes(digest[:8], "big", signed=True)
    return bool(session.scalar(select(func.pg_try_advisory_xact_lock(number))))


def drop_expired(session: Session) -> None:
    """Drop the keys whose time is over."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.expires_at <= utc_now()))
