"""Run migrations against the database that the caller named."""

from __future__ import annotations

from typing import Literal

from alembic import context
from sqlalchemy import Connection, text

from app.db.session import Database
from app.db.tables import Base
from app.db.types import Json, UtcDateTime
from app.settings import Settings

_LOCK_KEY = 0x6472696674  # any number that is ours


def _render_item(kind: str, item: object, autogen_context: object) -> str | Literal[False]:
    """Write the service's own column types as the plain types that they are in the database."""
    del autogen_context
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and item is Json:
        return 'sa.JSON().with_variant(JSONB(), "postgresql")'
    return False


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        render_item=_render_item,
    )
    if connection.dialect.name == "postgresql":
        # Several processes may start at once; SQLite's write lock does the same.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    with context.begin_transaction():
        context.run_migrations()


url = context.config.attributes.get("database_url") or Settings().resolved_database_url
# SQLite changes a table by making it anew and dropping the old one: that must not cascade to other tables.
database = Database(url, sqlite_foreign_keys=False)
with database.engine.begin() as connection:
    _run(connection)
database.dispose()
