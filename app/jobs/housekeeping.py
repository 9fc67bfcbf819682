"""What any process of the service may do for all: take back the items of workers that went silent."""

from __future__ import annotations

import logging
import threading

from app.db.session import Database
from app.jobs import items
from app.outage import Outage

log = logging.getLogger(__name__)


def reap_expired(database: Database, *, max_attempts: int, spared_owner: str | None = None) -> list[str]:
    """Take back the items whose lease ran out, each in a transaction of its own; return their jobs' ids.

    Args:
        database: where the items are.
        max_attempts: attempts in a row without progress before a job fails.
        spared_owner: the worker whose own items are left to it.
    """
    with database.reading() as session:  # mostly there are none, and no need of the write lock
        found = items.expired(session, spared_owner=spared_owner)
    reaped = []
    for job_id, item_id in found:
        with database.transaction() as session:
            if items.reap(session, job_id, item_id, max_attempts=max_attempts):
                reaped.append(job_id)
    return reaped


class Reaper:
    """Takes back lost items from a thread of the API, so that a job whose only worker died does not hang."""

    def __init__(self, database: Database, *, max_attempts: int, interval_s: float) -> None:
        self._database = database
        self._max_attempts = max_attempts
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
                reap_expired(self._database, max_attempts=self._max_attempts)
            except Exception as error:  # noqa: BLE001 - it is said, and tried again
                outage.failed(error)
            else:
                outage.worked()
