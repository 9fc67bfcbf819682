"""Housekeeping that any process of the service does for all: it takes back items of silent workers."""

from __future__ import annotations

import logging
import threading
import time

from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.db.session import Database
from app.db.tables import Worker
from app.db.types import database_now_s
from app.engine.items import sweeps
from app.engine.outage import Outage

log = logging.getLogger(__name__)

_FORGOTTEN_S = 600.0  # a worker that was silent for this long leaves the list


class LostItems:
    """Takes back the items whose lease ran out.

    After a pause in which this process was suspended, the owners were perhaps suspended with it, as with the
    whole machine: they get the time of a lease to renew theirs.

    Args:
        database: where the items are.
        max_attempts: attempts in a row without progress before a job fails.
        interval_s: time between two looks, in s.
        grace_s: how long it waits after a pause, in s.
        spared_owner: the worker whose own items are left to it.
    """

    def __init__(
        self,
        database: Database,
        *,
        max_attempts: int,
        interval_s: float,
        grace_s: float,
        spared_owner: str | None = None,
    ) -> None:
        self._database = database
        self._max_attempts = max_attempts
        self._longest_s = interval_s + grace_s / 2
        self._grace_s = grace_s
        self._spared_owner = spared_owner
        self._looked_at = time.time()  # the clock that goes on while a machine sleeps
        self._waits_until = 0.0

    def take_back(self) -> list[str]:
        """Take each back in a transaction of its own; return their jobs' ids."""
        now = time.time()
        if now - self._looked_at > self._longest_s:
            self._waits_until = now + self._grace_s
        self._looked_at = now
        if now < self._waits_until:
            return []
        with self._database.reading() as session:  # mostly there are none, and no need of the write lock
            found = sweeps.expired(session, spared_owner=self._spared_owner)
        reaped = []
        for job_id, item_id in found:
            with self._database.transaction() as session:
                if sweeps.reap(session, job_id, item_id, max_attempts=self._max_attempts):
                    reaped.append(job_id)
        return reaped


def forget_silent_workers(session: Session, *, spared: str | None = None) -> None:
    """Drop the workers from the list that have been silent for ten minutes, but for one of them."""
    gone = Worker.heartbeat_at_s < database_now_s() - _FORGOTTEN_S
    session.execute(delete(Worker).where(gone, Worker.id != (spared or "")))


class Reaper:
    """Looks after lost items and silent workers from a thread of the API, for when no worker is left to."""

    def __init__(self, lost: LostItems, *, interval_s: float) -> None:
        self._lost = lost
        self._interval_s = interval_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reaper", daemon=True)

    def start(self) -> None:
        """Look now and then until `close`."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()
        self._thread.join(5)

    def _run(self) -> None:
        outage = Outage(log, "taking back the items of lost workers")
        while not self._closed.wait(self._interval_s):
            try:
                self._lost.take_back()
            except Exception as error:  # noqa: BLE001 - it is said, and tried again
                outage.failed(error)
            else:
                outage.worked()
