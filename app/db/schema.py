"""Whether database and code go together: both name the revision of the schema."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import inspect, text

from app.db.session import Database

# The newest migration; a test compares it with the folder.
REVISION = "0019"
_LOOK_S = 30.0


def schema_fault(database: Database) -> str | None:
    """Say why the code cannot work on the database's schema; None when it can.

    Raises:
        SQLAlchemyError: the database does not answer.
    """
    with database.engine.connect() as connection:
        found = None
        if inspect(connection).has_table("alembic_version"):
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found == REVISION:
        return None
    if found is None or found < REVISION:
        has = "no schema" if found is None else f"the schema {found}, older than this version's {REVISION}"
        return f"the database has {has}: stop what runs the older version and run `python -m app.db.migrate`"
    return (
        f"the database has the schema {found}, newer than this version's {REVISION}: run the newer version, "
        "or restore the backup from before"
    )


class SchemaGuard:
    """Remembers that the schema was found right, so that not every request asks.

    Args:
        database: whose schema.
        when_right: done once, when it is first found right.
    """

    def __init__(self, database: Database, when_right: Callable[[], object] = lambda: None) -> None:
        self._database = database
        self._when_right = when_right
        self._is_new = True
        self._right_until = float("-inf")

    def fault(self) -> str | None:
        """Say why the code cannot work on the database's schema; None when it can.

        Raises:
            SQLAlchemyError: the database does not answer.
        """
        if time.monotonic() < self._right_until:
            return None
        fault = schema_fault(self._database)
        if fault is None:
            if self._is_new:
                self._is_new = False
                self._when_right()
            self._right_until = time.monotonic() + _LOOK_S
        return fault
