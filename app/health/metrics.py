"""The metrics of the state of the whole service, read from the database when they are asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from app.engine.states import ItemState
from app.health import roster, service
from app.health.repository import StateRepository
from app.services import Services

# Several scrapers and the curious share what was read: the counts of 100,000 jobs take tens of milliseconds.
_FRESH_S = 5.0


class ServiceState(Collector):
    """Reads the queue, the jobs, the workers and the storage; says of a part that fails only that it does.

    Args:
        services: of the API.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._families: list[GaugeMetricFamily] = []

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name nothing beforehand, so that registering asks no database."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics, at most some seconds old."""
        with self._lock:
            if time.monotonic() - self._read_at > _FRESH_S:
                self._families = list(self._read())
                self._read_at = time.monotonic()
            return self._families

    def _read(self) -> Iterator[GaugeMetricFamily]:
        parts = GaugeMetricFamily(
            "driftline_up", "Whether a part that the service needs works.", labels=("part",)
        )
        for name, check in service.probe(self._services).items():
            if name != "workers":  # counted below
                parts.add_metric([name], float(check.status == "ok"))
        yield parts
        try:
            yield from self._read_database()
        except SQLAlchemyError:
            return  # `driftline_up` says so

    def _read_database(self) -> Iterator[GaugeMetricFamily]:
        if self._services.schema.fault() is not None:
            return
        with self._services.database.all_projects.reading() as session:
            state = StateRepository(session)
            jobs = [((state,), count) for state, count in state.jobs_by_state().items()]
            yield _family("driftline_jobs", "Jobs by state.", ("state",), jobs)
            yield from _queue(state)
            counts = roster.worker_counts(session, self._services.settings)
            text = "Workers that take work (working), take none at present (idle), or are silent."
            workers = [((how,), count) for how, count in counts.items()]
            yield _family("driftline_workers", text, ("state",), workers)
            stored = [((what,), size) for what, size in state.stored_bytes().items()]
            yield _family("driftline_stored_bytes", "Bytes of stored files.", ("what",), stored)
            text = "Messages of webhooks that no receiver has accepted yet."
            waiting = [((), state.waiting_deliveries())]
            yield _family("driftline_webhook_deliveries_waiting", text, (), waiting)


def _queue(state: StateRepository) -> Iterator[GaugeMetricFamily]:
    items = state.open_items()
    counts = [((row.kind, row.state), row.number) for row in items]
    yield _family("driftline_work_items", "Work items that have not ended.", ("kind", "state"), counts)
    now = datetime.now(UTC)
    ages = [
        ((row.kind,), max(0.0, (now - row.since).total_seconds()))
        for row in items
        if row.state == ItemState.QUEUED and row.since is not None
    ]
    text = "How long the oldest queued work item waits."
    yield _family("driftline_queue_age_seconds", text, ("kind",), ages)


def _family(
    name: str, text: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in sorted(values):
        family.add_metric(key, value)
    return family
