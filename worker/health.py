"""The health of this machine's worker: `python -m worker.health` ends with 0 if its report is recent."""

from __future__ import annotations

import socket
import sys

from sqlalchemy import select

from app.db.session import Database, database_time_s
from app.db.tables import Worker
from app.start import load_settings


def main() -> int:
    """Return 0 when a worker of this host has reported lately, else 1."""
    settings = load_settings()
    database = Database(settings.resolved_database_url)
    try:
        with database.reading() as session:
            oldest = database_time_s(session) - settings.worker_silence_s
            query = select(Worker.id).where(
                Worker.hostname == socket.gethostname(), Worker.heartbeat_at_s >= oldest
            )
            alive = session.scalars(query).first() is not None
    finally:
        database.dispose()
    return 0 if alive else 1


if __name__ == "__main__":
    sys.exit(main())
