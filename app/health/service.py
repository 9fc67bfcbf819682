"""Whether the parts that the service needs do work."""

from __future__ import annotations

import logging
from collections.abc import Callable
from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError

from app.db.session import Database, reason
from app.engine.storage import storage_fault
from app.health.roster import workers_alive
from app.health.schemas import Check, Readiness
from app.services import Services

log = logging.getLogger(__name__)


async def readiness(services: Services) -> Readiness:
    """Try each part: without database or storage nothing works; without broker or workers jobs wait.

    A part that does not answer in time has failed: whoever asks decides on it where requests go.
    """
    checks: dict[str, Check] = {}

    async def try_out(probe: Callable[[Services], dict[str, Check]], too_slow: dict[str, Check]) -> None:
        checks.update(too_slow)
        with anyio.move_on_after(_PATIENCE_S):
            checks.update(
                await anyio.to_thread.run_sync(
                    probe, services, abandon_on_cancel=True, limiter=_limiter(services)
                )
            )

    async with anyio.create_task_group() as probes:
        for probe, too_slow in _PROBES:
            probes.start_soon(try_out, probe, too_slow)
    states = {check.status for check in checks.values()}
    status = next(state for state in ("failed", "degraded", "ok") if state in states)
    return Readiness(status=status, checks={name: checks[name] for name in _NAMES})


def probe(services: Services) -> dict[str, Check]:
    """Try each part, one after the other, and wait for the slowest as long as it takes."""
    checks: dict[str, Check] = {}
    for one, _ in _PROBES:
        checks.update(one(services))
    return {name: checks[name] for name in _NAMES}


def _limiter(services: Services) -> anyio.CapacityLimiter:
    """Return what keeps probes that hang from taking the threads of everybody else."""
    return _limiters.setdefault(services.database, anyio.CapacityLimiter(_MOST_PROBES))


def _database_and_workers(services: Services) -> dict[str, Check]:
    try:
        fault = services.schema.fault()
        if fault is not None:
            return {**_NO_DATABASE, "database": Check(status="failed", detail=fault)}
        with services.database.all_projects.reading() as session:
            fault = storage_fault(session, services.blobs)
            alive = workers_alive(session, services.settings)
        if fault is not None:
            return {**_NO_DATABASE, "database": Check(status="failed", detail=fault)}
    except SQLAlchemyError as error:
        log.warning("the database failed the readiness check: %s", reason(error))
        return _NO_DATABASE
    if alive:
        return {"database": Check(status="ok"), "workers": Check(status="ok", detail=f"{alive} alive")}
    jobs_wait = Check(status="degraded", detail="no worker has reported lately: jobs wait")
    return {"database": Check(status="ok"), "workers": jobs_wait}


def _storage(services: Services) -> dict[str, Check]:
    try:
        services.blobs.check_writable()
    except OSError as error:
        log.warning("the storage failed the readiness check: %s", error)
        return _NO_STORAGE
    return {"storage": Check(status="ok")}


def _broker(services: Services) -> dict[str, Check]:
    try:
        services.doorbell.check()
    except Exception as error:  # noqa: BLE001 - brokers raise all sorts; none of them stops requests
        log.warning("the broker failed the readiness check: %s", error)
        return _NO_BROKER
    return {"broker": Check(status="ok")}


_NO_DATABASE = {
    "database": Check(status="failed", detail="the database does not answer, or is not migrated"),
    "workers": Check(status="degraded", detail="unknown while the database does not work"),
}
_NO_STORAGE = {"storage": Check(status="failed", detail="the blob store cannot be written")}
_NO_BROKER = {
    "broker": Check(status="degraded", detail="the broker does not answer: workers find jobs by sweeping")
}
# What is asked, and what is said when it does not answer in time.
_PROBES = ((_database_and_workers, _NO_DATABASE), (_storage, _NO_STORAGE), (_broker, _NO_BROKER))
_NAMES = ("database", "storage", "broker", "workers")
_PATIENCE_S = 1.5
_MOST_PROBES = 6
_limiters: WeakKeyDictionary[Database, anyio.CapacityLimiter] = WeakKeyDictionary()
