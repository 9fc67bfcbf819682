"""The metrics that processes count themselves, for Prometheus. `app.health.metrics` reads the others.

Names follow Prometheus' conventions: base units, `_total` for counters. All begin with `driftline_`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.process_collector import ProcessCollector

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, which no board or alert uses

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ITEM_S = (0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200, 43200)


class ApiMetrics:
    """What an API process counts.

    Attributes:
        registry: holds these metrics, and those that are read when they are asked for.
        requests: answered, by method, route (as in the OpenAPI document) and status code.
        seconds: from a request's head to the end of its answer; streams and long polls wait on purpose.
        problems: answered, by route and the problem's code: so also the uploads refused, by reason.
        in_progress: requests that are being answered, streams included.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(namespace="driftline", registry=registry)
        self.requests = Counter(
            "driftline_http_requests",
            "Requests answered.",
            ["method", "route", "code"],
            registry=registry,
        )
        self.seconds = Histogram(
            "driftline_http_request_seconds",
            "Seconds from a request's head to the end of its answer.",
            ["method", "route"],
            buckets=_REQUEST_S,
            registry=registry,
        )
        self.problems = Counter(
            "driftline_http_problems",
            "Problems answered, by code; of an upload's route, the uploads refused by reason.",
            ["method", "route", "code"],
            registry=registry,
        )
        self.in_progress = Gauge(
            "driftline_http_requests_in_progress", "Requests being answered.", registry=registry
        )


class WorkerMetrics:
    """What a worker counts.

    Attributes:
        registry: holds these metrics.
        attempts: at work items, by kind.
        items: attempts that ended, by kind and outcome.
        item_seconds: of each attempt, by kind, which is the phase of a job.
        leases_lost: items that went to another worker, by kind.
        cells: evaluated.
        samples: sample-forwards of fine-tuning and evaluation.
        failures: outages by chore, such as claiming or renewing a lease.
        takes_work: whether the worker takes work: 0 when its storage or schema is not right.
        slots: work items that it does at once.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(namespace="driftline", registry=registry)
        self.attempts = Counter(
            "driftline_item_attempts", "Attempts at work items that began.", ["kind"], registry=registry
        )
        self.items = Counter(
            "driftline_items",
            "Attempts at work items that ended, by outcome.",
            ["kind", "outcome"],
            registry=registry,
        )
        self.item_seconds = Histogram(
            "driftline_item_seconds",
            "Seconds of an attempt at a work item; its kind is the phase of a job.",
            ["kind"],
            buckets=_ITEM_S,
            registry=registry,
        )
        self.leases_lost = Counter(
            "driftline_leases_lost", "Work items that went to another worker.", ["kind"], registry=registry
        )
        self.cells = Counter("driftline_cells", "Cells evaluated.", registry=registry)
        self.samples = Counter(
            "driftline_samples", "Sample-forwards of fine-tuning and evaluation.", registry=registry
        )
        self.failures = Counter(
            "driftline_chore_failures",
            "Failures of a worker's chores, such as looking for work while the database is away.",
            ["chore"],
            registry=registry,
        )
        self.takes_work = Gauge(
            "driftline_worker_takes_work",
            "Whether the worker takes work; 0 while its schema or storage is not right.",
            registry=registry,
        )
        self.slots = Gauge("driftline_worker_slots", "Work items done at once.", registry=registry)

    def ended(self, kind: str, outcome: str, seconds: float) -> None:
        """Count an attempt at an item that has ended."""
        self.items.labels(kind, outcome).inc()
        self.item_seconds.labels(kind).observe(seconds)
        if outcome == "lost":
            self.leases_lost.labels(kind).inc()

    def counted(self, cells: int, samples: int) -> None:
        """Count what a runner has found since it last said so."""
        self.cells.inc(cells)
        self.samples.inc(samples)


class MetricsServer:
    """Serves a registry on a port of its own, for Prometheus alone.

    Args:
        registry: what is served, at any path.
        host: address to listen on.
        port: 0 takes any free one.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        self._server: WSGIServer
        self._thread: threading.Thread
        self._server, self._thread = start_http_server(port, host, registry)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def served(registry: CollectorRegistry, host: str, port: int | None) -> Callable[[], None]:
    """Serve a registry if a port is given and free, and say so if it is taken; return what stops it."""
    if port is not None:
        try:
            return MetricsServer(registry, host, port).close
        except OSError as error:
            log.error("the metrics cannot be served at %s:%d: %s", host, port, error.strerror)  # noqa: TRY400
    return lambda: None
