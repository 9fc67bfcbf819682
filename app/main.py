"""The HTTP application; `python -m app` serves it."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware

from app.analyses.endpoints import router as analyses_router
from app.compare.endpoints import router as compare_router
from app.configs import contract as configs_contract
from app.configs.endpoints import router as configs_router
from app.cost import contract as cost_contract
from app.cost.endpoints import router as cost_router
from app.datasets.endpoints import router as datasets_router
from app.db.blobs import BlobStore, open_blobs
from app.db.schema import SchemaGuard
from app.db.session import Database
from app.engine.broker import Doorbell, make_celery
from app.engine.housekeeping import LostItems, Reaper
from app.engine.storage import claim_storage
from app.engine.watch import JobWatch
from app.engine.webhooks.secrets import CLEAR_SECRETS
from app.health.endpoints import router as health_router
from app.health.metrics import ServiceState
from app.jobs.endpoints import router as jobs_router
from app.keys.endpoints import router as keys_router
from app.keys.gate import COOKIE, Gate, has_keys, why_not_to_start
from app.kit import handlers, openapi
from app.kit.access import current_project
from app.kit.inspection import Inspector
from app.kit.measuring import MeasuringMiddleware
from app.kit.middleware import LingerMiddleware, RequestIdMiddleware, RootMiddleware
from app.kit.security import BoundaryMiddleware, SecurityHeadersMiddleware, allowed_to_other_sites
from app.kit.semantics import CompressionMiddleware, FramingMiddleware, HeadMiddleware
from app.kit.shutdown import when_told_to_stop
from app.models.endpoints import router as models_router
from app.monitoring.metrics import ApiMetrics, served
from app.monitoring.traces import Traces
from app.pages import problems as page_problems
from app.pages.access import router as access_router
from app.pages.assets import router as assets_router
from app.pages.endpoints import router as pages_router
from app.pages.report import router as report_router
from app.pages.sign_in import router as sign_in_router
from app.results.endpoints import router as results_router
from app.results.reader import ResultReader
from app.services import Services
from app.settings import Settings
from app.start import load_settings, product_version, start_log
from app.usage.endpoints import router as usage_router
from app.webhooks.endpoints import router as webhooks_router

log = logging.getLogger(__name__)

_BROKER_ANSWER_S = 2.0
# A thread that works through large results gives way to others after this time (Python's default: 5 ms). A
# request changes threads a dozen times, and waits that long at each.
_SWITCH_S = 0.0005

_DESCRIPTION = """
What is a trained network's accuracy one second, one hour, one year after it is programmed onto an analog
in-memory-computing chip, and how much of the loss does hardware-aware fine-tuning win back?

Upload an ONNX model, name or upload a dataset, post a job with an RPU configuration, read its results.
Errors are `application/problem+json` (RFC 9457) and list every fault with a JSON pointer.
Times are UTC, in RFC 3339; `t_inference` is in seconds after programming.
"""
_TAGS = [
    {"name": "models", "description": "Uploaded ONNX models."},
    {"name": "datasets", "description": "Built-in and uploaded datasets."},
    {"name": "rpu-configs", "description": "Configurations of the analog hardware."},
    {"name": "jobs", "description": "Simulations and their results."},
    {"name": "cost", "description": "Energy, latency and area of an inference, as estimates with a band."},
    {"name": "webhooks", "description": "Messages about what happens to jobs."},
    {"name": "access", "description": "Keys, and who has which."},
    {"name": "service", "description": "Health and workers."},
]


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application.

    Args:
        settings: read from the environment when None.

    Raises:
        SystemExit: others would reach the service, and it has no key.
    """
    settings = settings or load_settings()
    fault = why_not_to_start(settings)
    if fault is not None:
        raise SystemExit(fault)
    metrics = ApiMetrics()
    traces = Traces(settings.traces_url, "driftline-api")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sys.setswitchinterval(_SWITCH_S)
        if not logging.getLogger().handlers:  # nobody has said where the log goes
            start_log(settings)
        blobs = open_blobs(settings.blobs)
        blobs.drop_abandoned()
        database = Database(settings.resolved_database_url)
        watch = JobWatch(database, settings.watch_interval_s)
        doorbell = Doorbell(make_celery(settings, answer_timeout_s=_BROKER_ANSWER_S))
        lost = LostItems(
            database,
            max_attempts=settings.max_attempts,
            interval_s=settings.sweep_s,
            grace_s=settings.lease_s,
        )
        reaper = Reaper(lost, interval_s=settings.sweep_s)
        reaper.start()
        app.state.services = Services(
            settings=settings,
            database=(scoped := database.within(current_project)),
            blobs=blobs,
            schema=SchemaGuard(database, when_right=partial(_look_around, settings, database, blobs)),
            doorbell=doorbell,
            inspector=Inspector(settings.inspection_timeout_s),
            watch=watch,
            results=ResultReader(scoped),
            metrics=metrics,
            access=Gate(settings, database),
        )
        state = ServiceState(app.state.services)
        metrics.registry.register(state)
        stop_serving = served(metrics.registry, settings.metrics_host, settings.metrics_port)
        try:
            with when_told_to_stop(watch.stop):
                yield
        finally:
            await run_in_threadpool(stop_serving)
            metrics.registry.unregister(state)
            await app.state.services.permits.close()
            await watch.close()
            await run_in_threadpool(reaper.close)
            await run_in_threadpool(doorbell.close)
            database.dispose()
            await run_in_threadpool(traces.close)

    app = FastAPI(
        title="Driftline",
        version=product_version(),
        summary="Accuracy over time of neural networks on analog in-memory-computing hardware.",
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        lifespan=lifespan,
        telemetry={
            "tracer_provider": traces.provider,
            "tracing": traces.provider is not None,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
            "exclude": _is_probe,
        },
        redirect_slashes=False,
        docs_url=None,  # a page of our own, which loads nothing from other hosts
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
        responses=openapi.COMMON_RESPONSES,
        license_info={"name": "MIT", "identifier": "MIT"},
        contact={"name": "The Driftline authors"},
    )
    _add_layers(app, settings, metrics)
    handlers.install(app)
    page_problems.install(app)
    examples = Path(__file__).with_name("openapi_examples.json")
    openapi.describe(app, examples=examples, refine=_refine)
    for router in (
        report_router,  # before the artifacts, of which the report is one
        jobs_router,  # early, since routes are tried in turn and most requests are for jobs
        results_router,
        models_router,
        datasets_router,
        configs_router,
        analyses_router,
        compare_router,
        cost_router,
        webhooks_router,
        keys_router,
        usage_router,
        health_router,
        assets_router,
        sign_in_router,
        access_router,
        pages_router,
    ):
        app.include_router(router)
    return app


def _refine(document: dict[str, Any]) -> None:
    configs_contract.refine(document)
    cost_contract.refine(document)


def _add_layers(app: FastAPI, settings: Settings, metrics: ApiMetrics) -> None:
    """Add what each request passes before it reaches an endpoint."""
    # The last one is the outermost.
    app.add_middleware(BoundaryMiddleware, settings=settings, cookie=COOKIE)
    if settings.allowed_origins:
        app.add_middleware(CORSMiddleware, **allowed_to_other_sites(settings))
    app.add_middleware(FramingMiddleware)
    app.add_middleware(RootMiddleware)
    app.add_middleware(RequestIdMiddleware)
    app.add_middleware(MeasuringMiddleware, metrics=metrics)
    app.add_middleware(CompressionMiddleware)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(SecurityHeadersMiddleware)
    app.add_middleware(LingerMiddleware, linger_s=settings.refusal_linger_s)


def _is_probe(scope: MutableMapping[str, Any]) -> bool:
    """Tell whether a request is one of those that come every few seconds and lead nowhere."""
    return str(scope.get("path", "")).startswith(("/healthz/", "/metrics", "/static/"))


def _look_around(settings: Settings, database: Database, blobs: BlobStore) -> None:
    """Do once what needs a database of the right schema."""
    _mark_storage(database, blobs)
    if not settings.sealer.has_keys and (settings.admin_key is not None or has_keys(database)):
        log.warning("%s; set DRIFTLINE_ENCRYPTION_KEYS", CLEAR_SECRETS)


def _mark_storage(database: Database, blobs: BlobStore) -> None:
    try:
        claim_storage(database, blobs)
    except OSError as error:
        log.warning(
            "the storage could not be marked as this database's: %s", error
        )  # readiness reports it, too
