"""Traces by OpenTelemetry, where `DRIFTLINE_TRACES_URL` says where they go: from a request to the runner.

The context of the request that submitted a job is stored with the job (`origin`), so a trace leads through
the queue into every item, whichever worker takes it. Without the setting nothing is recorded, and the SDK is
not even imported.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.monitoring.logs import bound

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

log = logging.getLogger(__name__)

_PROPAGATOR = TraceContextTextMapPropagator()


class TracesUnavailableError(Exception):
    """Traces are asked for and the packages that send them are not installed."""


class Traces:
    """Where this process sends its spans; nowhere without a URL.

    Args:
        url: of an OTLP receiver over HTTP, such as `http://collector:4318/v1/traces`; None records nothing.
        service: which part of the service this is: `driftline-api`, `driftline-worker`, `driftline-runner`.

    Raises:
        TracesUnavailableError: the packages of the extra `traces` are missing.
    """

    def __init__(self, url: str | None, service: str) -> None:
        self._sdk = None if url is None else _sdk(url, service)
        self._tracer = trace.NoOpTracer() if self._sdk is None else self._sdk.get_tracer("driftline")

    @property
    def provider(self) -> TracerProvider | None:
        """What FastAPI makes its spans with; None where none are wanted."""
        return self._sdk

    @contextmanager
    def span(self, name: str, parent: Mapping[str, str] | None = None, **attributes: Any) -> Iterator[Span]:
        """Record what happens meanwhile as a span.

        Args:
            name: what happens.
            parent: what the `origin` of a job says, or `here` of another process; None: the current span.
            attributes: of the span; None leaves one out.
        """
        context = _PROPAGATOR.extract(parent) if parent else None
        said = {f"driftline.{name}": value for name, value in attributes.items() if value is not None}
        with self._tracer.start_as_current_span(name, context=context, attributes=said) as span:
            yield span

    def flush(self) -> None:
        """Send what was recorded; a receiver that is away costs its spans and a line of the log."""
        if self._sdk is not None:
            self._sdk.force_flush(2000)

    def close(self) -> None:
        """Send what was recorded, and record no more."""
        if self._sdk is not None:
            self._sdk.shutdown()


def here() -> dict[str, str]:
    """Return the current span for another process, as W3C trace context; nothing without a span."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier


def origin() -> dict[str, str]:
    """Return where a job comes from: the id of the request that submits it, and its place in a trace."""
    request = bound("request")
    return {**({} if request is None else {"request": request}), **here()}


def _sdk(url: str, service: str) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracesUnavailableError(
            f"DRIFTLINE_TRACES_URL is set and {error.name} is not installed: pip install 'driftline[traces]'"
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=5)))
    return provider
