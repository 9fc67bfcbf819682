"""HTTP of health."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.health import service
from app.health.schemas import Live, Readiness, WorkerList
from app.kit.access import OPEN
from app.kit.problems import Fault, Unavailable
from app.kit.routing import StrictRoute
from app.kit.transactions import ReadSession
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


@router.get("/v1/workers", summary="List workers")
def list_workers(session: ReadSession, services: ServicesDep) -> WorkerList:
    """List the workers that are known, the latest report first."""
    return WorkerList(items=service.workers(session, services.settings))
