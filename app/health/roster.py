"""Who works for the service: the workers that are known, and which of them are alive."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from app.db.session import database_time_s
from app.health.repository import WorkerRepository
from app.health.schemas import WorkerView
from app.settings import Settings


def workers(session: Session, settings: Settings) -> list[WorkerView]:
    """Return the workers that are known."""
    alive_since_s = _alive_since_s(session, settings)
    return [
        WorkerView(
            id=worker.id,
            hostname=worker.hostname,
            pid=worker.pid,
            concurrency=worker.concurrency,
            running_items=items,
            alive=worker.heartbeat_at_s >= alive_since_s,
            version=worker.version,
            able=worker.able,
            idle_reason=worker.idle_reason,
            started_at=worker.started_at,
            last_seen_at=datetime.fromtimestamp(worker.heartbeat_at_s, UTC),
        )
        for worker, items in WorkerRepository(session).listing()
    ]


def worker_counts(session: Session, settings: Settings) -> dict[str, int]:
    """Return how many workers take work, live and take none at present, or are silent."""
    counts = dict.fromkeys(("working", "idle", "silent"), 0)
    for worker in workers(session, settings):
        state = "silent" if not worker.alive else "working" if worker.idle_reason is None else "idle"
        counts[state] += 1
    return counts


def workers_alive(session: Session, settings: Settings) -> int:
    """Return how many workers have reported lately."""
    return WorkerRepository(session).count_heard_since(_alive_since_s(session, settings))


def _alive_since_s(session: Session, settings: Settings) -> float:
    return database_time_s(session) - settings.worker_silence_s
