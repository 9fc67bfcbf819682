"""The queries of keys. Their sessions see all projects: admins administer the whole service."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.tables import ApiKey, KeySecret, Project
from app.db.types import utc_now
from app.keys.tokens import Kind


class KeyRepository:
    """Keys, their secrets, and projects."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def any(self) -> bool:
        """Return whether a key was ever made."""
        return self._session.scalars(select(ApiKey.id).limit(1)).first() is not None

    def add(self, key: ApiKey) -> None:
        """Store a new key, and its project if that is new."""
        if self._session.get(Project, key.project) is None:
            try:
                with self._session.begin_nested():
                    self._session.add(Project(name=key.project))
            except IntegrityError:  # another request was faster
                pass
        self._session.add(key)
        self._session.flush()

    def add_secret(self, secret: KeySecret) -> None:
        """Store a new secret of a key."""
        self._session.add(secret)
        self._session.flush()

    def get(self, key_id: str) -> ApiKey | None:
        """Return the key."""
        return self._session.get(ApiKey, key_id)

    def with_prefix(self, prefix: str) -> tuple[KeySecret, ApiKey | None] | None:
        """Return the secret with this prefix, and its key."""
        query = (
            select(KeySecret, ApiKey)
            .outerjoin(ApiKey, ApiKey.id == KeySecret.key_id)
            .where(KeySecret.prefix == prefix)
        )
        row = self._session.execute(query).one_or_none()
        return None if row is None else (row[0], row[1])

    def listing(
        self, project: str | None, *, before_id: str | None = None, limit: int | None = None
    ) -> Sequence[ApiKey]:
        """Return the keys of a project, or of all, newest first, older than the given one."""
        query = select(ApiKey).order_by(ApiKey.id.desc()).limit(limit)
        if project is not None:
            query = query.where(ApiKey.project == project)
        if before_id is not None:
            query = query.where(ApiKey.id < before_id)
        return self._session.scalars(query).all()

    def secrets(self, key_ids: Sequence[str]) -> Sequence[KeySecret]:
        """Return the secrets of keys, but for sessions of browsers, the newest last."""
        query = select(KeySecret).where(KeySecret.key_id.in_(key_ids), KeySecret.kind == Kind.KEY)
        return self._session.scalars(query.order_by(KeySecret.created_at, KeySecret.prefix)).all()

    def drop_sessions(self, key_id: str) -> None:
        """Drop the sessions of browsers that were begun with a key."""
        self._session.execute(
            delete(KeySecret).where(KeySecret.key_id == key_id, KeySecret.kind == Kind.SESSION)
        )

    def drop_secret(self, prefix: str) -> None:
        """Drop one secret."""
        self._session.execute(delete(KeySecret).where(KeySecret.prefix == prefix))

    def drop_expired(self) -> None:
        """Drop the secrets whose time is over."""
        self._session.execute(delete(KeySecret).where(KeySecret.expires_at <= utc_now()))

    def note_use(self, key_id: str, *, at: datetime, at_most_every: timedelta) -> None:
        """Write down when a key was used, unless that was done a moment ago."""
        is_due = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < at - at_most_every)
        statement = update(ApiKey).where(ApiKey.id == key_id, is_due).values(last_used_at=at)
        self._session.execute(statement.execution_options(synchronize_session=False))

    def has_project(self, name: str) -> bool:
        """Return whether there is such a project."""
        return self._session.scalars(select(Project.name).where(Project.name == name)).first() is not None
