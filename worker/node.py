"""One worker: takes items from the queue while it can, and does the housekeeping. It imports no torch."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from celery import Celery
from sqlalchemy.orm import Session

from app.db import idempotency
from app.db.blobs import open_blobs
from app.db.schema import SchemaGuard
from app.db.session import Database, database_time_s, is_transient, reason
from app.db.tables import Worker
from app.engine.broker import Doorbell
from app.engine.housekeeping import LostItems, forget_silent_workers
from app.engine.items import claims, sweeps
from app.engine.items.leases import Lease
from app.engine.outage import Outage
from app.engine.retention import clean
from app.engine.storage import UnusedBlobs, storage_fault
from app.monitoring import logs
from app.monitoring.metrics import WorkerMetrics, served
from app.monitoring.traces import Traces
from app.settings import Settings
from app.start import product_version
from worker.protocol import Abilities
from worker.speed.schedule import Gauge
from worker.supervision.handle import ZygoteHandle
from worker.supervision.supervisor import Outcome, Slot, Supervisor
from worker.webhook_sender import WebhookSender

log = logging.getLogger(__name__)

_TIDY_S = 600.0


class Node:
    """One worker process: its database, its zygote, and the housekeeping that every worker shares in.

    Work comes in two ways: the broker's messages call `work`, and each sweep starts it for what nobody took.
    So a worker needs no broker.

    Args:
        settings: of the deployment.
        celery: the application that rings for other workers.
        zygote: where runners come from; None is one of its own. The node closes it.
    """

    def __init__(self, settings: Settings, celery: Celery, zygote: ZygoteHandle | None = None) -> None:
        self.settings = settings
        self.database = Database(settings.resolved_database_url)
        self.blobs = open_blobs(settings.blobs)
        self.zygote = zygote or ZygoteHandle()
        self.metrics = WorkerMetrics()
        self._traces = Traces(settings.traces_url, "driftline-worker")
        self.supervisor = Supervisor(settings, self.database, self.zygote, self.metrics.counted)
        self.doorbell = Doorbell(celery)
        self.webhooks = WebhookSender(settings, self.database)
        self.id = f"{socket.gethostname()}:{os.getpid()}"
        self._schema = SchemaGuard(self.database)
        self._lost = LostItems(
            self.database,
            max_attempts=settings.max_attempts,
            interval_s=settings.sweep_s,
            grace_s=settings.lease_s,
            spared_owner=self.id,
        )
        self._unused = UnusedBlobs(self.database, self.blobs)
        self._gauge = Gauge(self.database, settings.threads_per_item)
        self._slots = threading.Semaphore(settings.concurrency)
        self._asked = threading.Event()  # whether there may be work that nobody has looked for
        self._claiming = threading.Lock()
        self._held: set[str] = set()  # ids of the items that are being carried
        self._able: Abilities | None = None
        self._idle_reason: str | None = "it starts"
        self._storage_is_full = False
        self._outages: dict[str, Outage] = {}  # by chore
        self._closed = threading.Event()
        self._stop_serving: Callable[[], None] = lambda: None
        self._own_threads: list[threading.Thread] = []
        self._housekeeper = threading.Thread(target=self._keep_house, name="housekeeper", daemon=True)

    def start(self) -> None:
        """Warm up the zygote, start the housekeeping and appear in the table of workers."""
        self.metrics.slots.set(self.settings.concurrency)
        self._stop_serving = served(
            self.metrics.registry, self.settings.metrics_host, self.settings.worker_metrics_port
        )
        self.zygote.start()
        self._housekeeper.start()
        self.webhooks.start()

    # --- work ----------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Carry queued items one after another until there are none, if a slot is free.

        Where none is, those who hold them look once more when they are done.
        """
        self._asked.set()
        while self._asked.is_set() and self._slots.acquire(blocking=False):
            try:
                self._asked.clear()
                self._carry_all()
            finally:
                self._slots.release()

    def _carry_all(self) -> None:
        try:
            with self.supervisor.slot() as slot:
                while (lease := self._claim()) is not None:
                    self._carry(slot, lease)
                    self._ring_for_others()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("the database does not answer (%s); the next sweep goes on", reason(error))

    def _claim(self) -> Lease | None:
        """Claim an item, unless this worker should take none at present."""
        if self.stopping or self._idle_reason is not None or self._able is None:
            return None
        able = self._able.names()

        def claim(session: Session) -> Lease | None:
            lost = claims.unheld(session, owner=self.id, held=self._held)
            return lost or claims.claim(session, owner=self.id, lease_s=self.settings.lease_s, able=able)

        with self._claiming:
            lease = self.database.retrying(claim, for_s=self.settings.lease_s, what="claiming an item")
            if lease is not None:
                self._held.add(lease.item_id)
        return lease

    def _carry(self, slot: Slot, lease: Lease) -> None:
        ids = {"request": lease.origin.get("request"), "job": lease.job_id}
        with (
            logs.about(**ids, item=lease.key, attempt=lease.attempt),
            self._traces.span("item", lease.origin, **ids, item=lease.key, attempt=lease.attempt) as span,
        ):
            outcome = self._attempt(slot, lease)
            span.set_attribute("driftline.outcome", outcome)
        if outcome is Outcome.STORAGE_FULL:
            self._storage_is_full = True
            self._be_idle("the storage takes nothing: free some space, or see why it is away")

    def _attempt(self, slot: Slot, lease: Lease) -> Outcome:
        log.info("it starts")
        self.metrics.attempts.labels(lease.kind).inc()
        begun = time.monotonic()
        self._gauge.give_way()
        try:
            outcome = slot.carry(lease)
        finally:
            with self._claiming:
                self._held.discard(lease.item_id)
        seconds = time.monotonic() - begun
        self.metrics.ended(lease.kind, outcome.name.lower(), seconds)
        log.info("it %s after %.1f s", outcome, seconds)
        return outcome

    def _ring_for_others(self) -> None:
        """Ring for items that became claimable, once for every one that a free worker could take."""
        with self.database.reading() as session:
            free = sweeps.free_slots(session, silence_s=self.settings.worker_silence_s)
        self._ring(free, own=1)  # this thread takes one item itself

    def _ring(self, most: int, *, own: int = 0) -> None:
        if most > own:
            with self.database.transaction() as session:
                waiting = sweeps.unrung(session, older_than_s=self.settings.sweep_s, most=most)
            self.doorbell.ring(max(0, len(waiting) - own))

    # --- housekeeping --------------------------------------------------------------------------------------

    def _keep_house(self) -> None:
        started_at = datetime.now(UTC)
        tidied = time.monotonic()
        while not self._closed.is_set():
            self._try("looking whether it can work", self._look_at_itself)
            if self._idle_reason is None or self._schema_is_right():
                self._try("saying that it lives", lambda: self._say_alive(started_at))
                self._try("taking back lost items", self._lost.take_back)
                self._try("dropping old answers", self._drop_answers)
                self._try("looking for work", self._look_for_work)
            if time.monotonic() - tidied > _TIDY_S:
                tidied = time.monotonic()
                self._try("removing unused files", self._tidy)
            # By then the zygote is warm and does not disturb the measurement.
            if self._closed.wait(self.settings.sweep_s):
                return
            self._try("measuring the speed", self._gauge.give_way if self._held else self._gauge.tick)

    def _try(self, what: str, chore: Callable[[], object]) -> None:
        """Do a chore; log its failure once, however often it is repeated."""
        outage = self._outages.setdefault(what, Outage(log, what))
        try:
            chore()
        except Exception as error:  # noqa: BLE001 - it is said, and tried again
            outage.failed(error)
            self.metrics.failures.labels(what).inc()
        else:
            outage.worked()

    def _look_at_itself(self) -> None:
        """Find out whether this worker can take work, and log when that changes."""
        if self._able is None:
            self._able = self.zygote.abilities()
            if self._able.missing:
                log.error(
                    "this worker has no compiled loops (%s): it takes no items of jobs that are computed "
                    "with them, all but those submitted under DRIFTLINE_LOOPS=plain; install numba",
                    self._able.missing,
                )
        fault = self._schema.fault()
        if fault is None:
            with self.database.reading() as session:
                fault = storage_fault(session, self.blobs)
        if fault is None and self._storage_is_full:
            try:
                self.blobs.check_room()
            except OSError as error:
                fault = f"the storage takes nothing ({error.strerror or error}): free some space"
            else:
                self._storage_is_full = False
        self._be_idle(fault)

    def _schema_is_right(self) -> bool:
        try:
            return self._schema.fault() is None
        except Exception:  # noqa: BLE001 - logged where this worker looks at itself
            return False

    def _be_idle(self, fault: str | None) -> None:
        self.metrics.takes_work.set(fault is None)
        if fault == self._idle_reason:
            return
        if fault is not None:
            log.error("this worker takes no work: %s", fault)
        elif self._idle_reason is not None:
            log.info("this worker takes work")
        self._idle_reason = fault

    def _say_alive(self, started_at: datetime) -> None:
        with self.database.transaction() as session:
            now_s = database_time_s(session)
            row = session.get(Worker, self.id) or Worker(id=self.id)
            row.hostname = socket.gethostname()
            row.pid = os.getpid()
            row.concurrency = self.settings.concurrency
            row.version = product_version()
            row.able = None if self._able is None else self._able.names()
            row.idle_reason = self._idle_reason
            row.started_at = started_at
            row.heartbeat_at_s = now_s
            session.add(row)
            forget_silent_workers(session, spared=self.id)

    def _drop_answers(self) -> None:
        with self.database.transaction() as session:
            idempotency.drop_expired(session)

    def _look_for_work(self) -> None:
        """Start on what waits and this worker can do, broker or not, and ring for others."""
        if self.stopping or self._idle_reason is not None or self._able is None:
            return  # only a worker that takes work rings: its messages are few
        with self.database.reading() as session:  # mostly there is nothing, and no need of the write lock
            count = sweeps.count_waiting(session, self._able.names())
            free = sweeps.free_slots(session, silence_s=self.settings.worker_silence_s)
        if not count:
            return
        self._own_threads = [thread for thread in self._own_threads if thread.is_alive()]
        for _ in range(min(count, self.settings.concurrency - len(self._own_threads))):
            thread = threading.Thread(target=self.work, name="sweep-work", daemon=True)
            self._own_threads.append(thread)
            thread.start()
        self._ring(free)

    def _tidy(self) -> None:
        self.blobs.drop_abandoned()
        for one in clean(self.database, self.settings):
            log.info("removed %s of %s: %s", one.what, one.id, one.reason)
        removed = self._unused.look()
        if removed:
            log.info("removed %d files that nothing names any more", len(removed))

    # --- the end -------------------------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether the worker shuts down."""
        return self.supervisor.shutting_down.is_set()

    def stop(self) -> None:
        """Ask the runners to stop and give their items back."""
        self.supervisor.shutting_down.set()

    def close(self) -> None:
        """Stop everything that this process started."""
        self.stop()
        self._closed.set()
        for thread in (self._housekeeper, *self._own_threads):
            thread.join(2 * self.settings.cancel_grace_s + 5)
        self._gauge.give_way()
        self._stop_serving()
        self._traces.close()
        self.webhooks.close()
        self.doorbell.close()
        self.zygote.close()
        with self._leaving(), self.database.transaction() as session:
            row = session.get(Worker, self.id)
            if row is not None:
                session.delete(row)
        self.database.dispose()

    @contextmanager
    def _leaving(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("could not leave the table of workers: %s", reason(error))
