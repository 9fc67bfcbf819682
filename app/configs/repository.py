"""The queries of stored configurations."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import RpuConfig


class ConfigRepository:
    """Configurations that clients stored."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, row: RpuConfig) -> None:
        """Store a new configuration."""
        self._session.add(row)
        self._session.flush()

    def get(self, config_id: str) -> RpuConfig | None:
        """Return the stored configuration."""
        return self._session.get(RpuConfig, config_id)

    def listing(self, *, before_id: str | None, limit: int) -> Sequence[RpuConfig]:
        """Return stored configurations, newest first, older than the given one."""
        query = select(RpuConfig).order_by(RpuConfig.id.desc()).limit(limit)  # ids sort by their time
        if before_id is not None:
            query = query.where(RpuConfig.id < before_id)
        return self._session.scalars(query).all()

    def delete(self, row: RpuConfig) -> None:
        """Delete the stored configuration; jobs have their own copy of it."""
        self._session.delete(row)
