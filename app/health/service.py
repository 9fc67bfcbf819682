"""Whether the parts that the service needs do work."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.health.repository import WorkerRepository
from app.health.schemas import Check, Readiness, WorkerView
from app.jobs.items import database_time_s
from app.jobs.storage import storage_fault
from app.kit.services import Services
from app.settings import Settings

log = logging.getLogger(__name__)


def readiness(services: Services) -> Readiness:
    """Try each part: without database or storage nothing works; without broker or workers jobs wait."""
    database, workers = _database_and_workers(services)
    checks = {
        "database": database,
        "storage": _storage(services),
        "broker": _broker(services),
        "workers": workers,
    }
    states = {check.status for check in checks.values()}
    status = next(state for state in ("failed", "degraded", "ok") if state in states)
    return Readiness(status=status, checks=checks)


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
            able=worker.able,
            idle_reason=worker.idle_reason,
            started_at=worker.started_at,
            last_seen_at=datetime.fromtimestamp(worker.heartbeat_at_s, UTC),
        )
        for worker, items in WorkerRepository(session).listing()
    ]


def _alive_since_s(session: Session, settings: Settings) -> float:
    return database_time_s(session) - settings.worker_silence_s


def _database_and_workers(services: Services) -> tuple[Check, Check]:
    try:
        fault = services.schema.fault()
        if fault is not None:
            unknown = Check(status="degraded", detail="unknown while the schema is another one")
            return Check(status="failed", detail=fault), unknown
        with services.database.reading() as session:
            alive = WorkerRepository(session).count_heard_since(_alive_since_s(session, services.settings))
    except SQLAlchemyError:
        log.exception("the database failed the readiness check")
        unknown = Check(status="degraded", detail="unknown while the database does not work")
        return Check(status="failed", detail="the database does not answer, or is not migrated"), unknown
    if alive:
        return Check(status="ok"), Check(status="ok", detail=f"{alive} alive")
    return Check(status="ok"), Check(
        status="degraded", detail="no worker has been heard of lately: jobs wait"
    )


def _storage(services: Services) -> Check:
    try:
        services.blobs.check_writable()
        with services.database.reading() as session:
            fault = storage_fault(session, services.blobs)
        if fault is not None:
            return Check(status="failed", detail=fault)
    except SQLAlchemyError:
        return Check(status="degraded", detail="unknown while the database does not work")
    except OSError:
        log.exception("the storage failed the readiness check")
        return Check(status="failed", detail="the blob store cannot be written")
    return Check(status="ok")


def _broker(services: Services) -> Check:
    try:
        services.doorbell.check()
    except Exception as error:  # noqa: BLE001 - brokers raise all sorts; none of them stops requests
        log.warning("the broker failed the readiness check: %s", error)
        return Check(status="degraded", detail="the broker does not answer: workers find jobs by sweeping")
    return Check(status="ok")
