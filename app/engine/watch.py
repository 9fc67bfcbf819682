"""Waiting for jobs to change: one query for all who wait, a few times a second.

Whoever waits holds neither a database connection nor a thread. Changes come from other processes, so the
database is asked; its load does not grow with the number of clients.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from anyio.to_thread import run_sync
from sqlalchemy import select

from app.db.session import Database
from app.db.tables import Job

_MOST_IDS = 500  # in one query; databases limit the parameters of a statement


@dataclass(frozen=True, eq=False)
class _Waiter:
    job_id: str
    version: int
    changed: asyncio.Future[None]

    def go_on(self, error: Exception | None = None) -> None:
        """Wake the waiter, if it still waits."""
        if self.changed.done():
            return
        if error is None:
            self.changed.set_result(None)
        else:
            self.changed.set_exception(error)


class JobWatch:
    """Wakes those who wait for a newer version of a job. Belongs to one event loop.

    Args:
        database: where the jobs are.
        interval_s: time between two looks, in s.
    """

    def __init__(self, database: Database, interval_s: float) -> None:
        self._database = database
        self._interval_s = interval_s
        self._waiters: set[_Waiter] = set()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether the service ends, so that nobody should wait any more."""
        return self._stopped

    @property
    def waiting(self) -> int:
        """How many wait at the moment."""
        return len(self._waiters)

    async def beyond(self, job_id: str, version: int) -> None:
        """Return when the job's version is beyond the given one, the job is gone, or the service ends.

        Raises:
            SQLAlchemyError: the database failed while this waited.
        """
        if self._stopped:
            return
        waiter = _Waiter(job_id, version, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)
        if self._task is None:
            self._task = asyncio.create_task(self._look())
        try:
            await waiter.changed
        finally:
            self._waiters.discard(waiter)

    def stop(self) -> None:
        """Wake all who wait, and let nobody wait any more."""
        self._stopped = True
        for waiter in self._waiters:
            waiter.go_on()

    async def close(self) -> None:
        """Stop, and leave the database alone."""
        self.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self) -> None:
        try:
            while self._waiters:
                await asyncio.sleep(self._interval_s)
                await self._look_once()
        finally:
            self._task = None

    async def _look_once(self) -> None:
        asked = frozenset(waiter.job_id for waiter in self._waiters)
        try:
            versions = await run_sync(self._versions, asked)
        except Exception as error:  # noqa: BLE001 - those who wait raise it
            for waiter in self._waiters:
                waiter.go_on(error)
            return
        for waiter in self._waiters:
            version = versions.get(waiter.job_id)
            is_gone = version is None and waiter.job_id in asked
            if is_gone or (version is not None and version > waiter.version):
                waiter.go_on()

    def _versions(self, job_ids: Collection[str]) -> dict[str, int]:
        ids = sorted(job_ids)
        versions: dict[str, int] = {}
        with self._database.reading() as session:
            for start in range(0, len(ids), _MOST_IDS):
                query = select(Job.id, Job.version).where(Job.id.in_(ids[start : start + _MOST_IDS]))
                versions.update((row.id, row.version) for row in session.execute(query))
        return versions
