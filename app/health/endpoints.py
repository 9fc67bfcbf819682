"""HTTP of health."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import generate_latest

from app.health import roster, service
from app.health.schemas import Live, Readiness, WorkerList
from app.kit.access import OPEN
from app.kit.problems import Fault, NotFound, Unavailable, problem_responses
from app.kit.routing import StrictRoute
from app.kit.transactions import ReadSession
from app.monitoring.metrics import CONTENT_TYPE
from app.services import ServicesDep

router = APIRouter(tags=["service"], route_class=StrictRoute)

_NO_STORE = {"Cache-Control": "no-store"}


@router.get("/healthz/live", summary="Liveness", openapi_extra=OPEN)
async def get_liveness(response: Response) -> Live:
    """Answer as long as the process does."""
    response.headers.update(_NO_STORE)
    return Live()


@router.get("/healthz/ready", summary="Readiness", openapi_extra=OPEN)
async def get_readiness(response: Response, services: ServicesDep) -> Readiness:
    """Report whether requests can be served: 200 while database and storage work, else 503."""
    found = await service.readiness(services)
    if found.status != "failed":
        response.headers.update(_NO_STORE)
        return found
    faults = [
        Fault(pointer="", code=f"{name}_{check.status}", message=check.detail or check.status)
        for name, check in found.checks.items()
        if check.status != "ok"
    ]
    failed = ", ".join(name for name, check in found.checks.items() if check.status == "failed")
    raise Unavailable(f"not ready: {failed}", code="not_ready", errors=faults, headers=_NO_STORE)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "The metrics, as text.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **problem_responses(NotFound),
    },
)
def get_metrics(services: ServicesDep) -> Response:
    """Return requests, queue, jobs, workers and storage as Prometheus reads them.

    Where the setting `DRIFTLINE_METRICS_PORT` gives them a port of their own, they are there alone.
    """
    if services.settings.metrics_port is not None:
        raise NotFound("the metrics have a port of their own, which DRIFTLINE_METRICS_PORT says")
    text = generate_latest(services.metrics.registry)
    return Response(text, headers=_NO_STORE, media_type=CONTENT_TYPE)


@router.get("/v1/workers", summary="List workers")
def list_workers(session: ReadSession, services: ServicesDep) -> WorkerList:
    """List the workers that are known, the latest report first."""
    return WorkerList(items=roster.workers(session, services.settings))
