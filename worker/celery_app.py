"""The Celery side of a worker: takes the doorbell's messages and keeps house. It imports no torch."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

from app.db import idempotency
from app.db.blobs import BlobStore
from app.db.session import Database
from app.db.tables import Worker
from app.jobs import items
from app.jobs.broker import WORK_TASK, Doorbell, make_celery
from app.settings import Settings
from worker.gauge import Gauge
from worker.supervisor import Supervisor, ZygoteHandle
from worker.webhooks import WebhookSender

log = logging.getLogger(__name__)


class Node:
    """One worker process: its database, its zygote, and the housekeeping that every worker shares in."""

    def __init__(self, settings: Settings, celery: Celery) -> None:
        self.settings = settings
        self.database = Database(settings.resolved_database_url)
        self.zygote = ZygoteHandle()
        self.supervisor = Supervisor(settings, self.database, self.zygote)
        self.doorbell = Doorbell(celery)
        self.webhooks = WebhookSender(settings, self.database)
        self.id = f"{socket.gethostname()}:{os.getpid()}"
        self._busy = 0
        self._busy_lock = threading.Lock()
        self._gauge = Gauge(self.database, settings.threads_per_item)
        self._closed = threading.Event()
        self._housekeeper = threading.Thread(target=self._keep_house, name="housekeeper", daemon=True)

    def start(self) -> None:
        """Appear in the table of workers, warm up the zygote and start the housekeeping."""
        self.zygote.start()
        self._housekeeper.start()
        self.webhooks.start()

    def work(self) -> None:
        """Carry queued items one after another until there are none."""
        while not self.supervisor.shutting_down.is_set():
            with self.database.transaction() as session:
                lease = items.claim(session, owner=self.id, lease_s=self.settings.lease_s)
            if lease is None:
                return
            log.info("%s of job %s, attempt %d", lease.key, lease.job_id, lease.attempt)
            with self._working():
                self.supervisor.carry(lease)
            self._ring_for_others()

    @contextmanager
    def _working(self) -> Iterator[None]:
        with self._busy_lock:
            self._busy += 1
        self._gauge.give_way()
        try:
            yield
        finally:
            with self._busy_lock:
                self._busy -= 1

    def stop(self) -> None:
        """Ask the runners to stop and give their items back."""
        self.supervisor.shutting_down.set()

    def close(self) -> None:
        """Stop everything that this process started."""
        self.stop()
        self._closed.set()
        self._housekeeper.join(5)
        self._gauge.give_way()
        self.webhooks.close()
        self.zygote.close()
        with self.database.transaction() as session:
            row = session.get(Worker, self.id)
            if row is not None:
                session.delete(row)
        self.database.dispose()

    def _ring_for_others(self) -> None:
        """Ring once for every item that became claimable and was not rung for."""
        with self.database.transaction() as session:
            waiting = items.unrung(session, older_than_s=self.settings.sweep_s)
        # This thread takes one of them itself.
        if len(waiting) > 1:
            self.doorbell.ring(len(waiting) - 1)

    def _keep_house(self) -> None:
        started_at = datetime.now(UTC)
        while True:
            self._try(lambda: self._sweep(started_at))
            # By then the zygote is warm and does not disturb the measurement.
            if self._closed.wait(self.settings.sweep_s):
                return
            self._try(self._gauge.give_way if self._busy else self._gauge.tick)

    @staticmethod
    def _try(chore: Callable[[], None]) -> None:
        try:
            chore()
        except Exception:
            log.exception("housekeeping failed; it is tried again")

    def _sweep(self, started_at: datetime) -> None:
        """Say that this worker lives, take back lost items, and ring for those nobody took."""
        with self.database.transaction() as session:
            row = session.get(Worker, self.id) or Worker(id=self.id)
            row.hostname = socket.gethostname()
            row.pid = os.getpid()
            row.concurrency = self.settings.concurrency
            row.started_at = started_at
            row.heartbeat_at_s = items.database_time_s(session)
            session.add(row)
            items.reap(session, max_attempts=self.settings.max_attempts)
            idempotency.drop_expired(session)
            waiting = items.unrung(session, older_than_s=self.settings.sweep_s)
        if waiting:
            self.doorbell.ring(min(len(waiting), 64))
        BlobStore(self.settings.data_dir / "blobs").drop_abandoned()


settings = Settings()
celery_app = make_celery(settings)
_node: Node | None = None


@worker_ready.connect  # type: ignore[untyped-decorator]
def _on_ready(**_: Any) -> None:
    global _node  # noqa: PLW0603 - Celery's signals know no object of ours
    _node = Node(settings, celery_app)
    _node.start()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _on_shutting_down(**_: Any) -> None:
    if _node is not None:
        _node.stop()


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def _on_shutdown(**_: Any) -> None:
    if _node is not None:
        _node.close()


@celery_app.task(name=WORK_TASK)  # type: ignore[untyped-decorator]
def work() -> None:
    """Do what the database says is to be done."""
    if _node is not None:
        _node.work()
