"""`/v1/compare`: HTTP only."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.concurrency import run_in_threadpool

from app.compare.schemas import CompareQuery, ComparisonView
from app.compare.service import CompareService, comparison_tag
from app.db.tables import Job
from app.kit.etag import NOT_MODIFIED, ConditionalDep
from app.kit.idempotency import json_answer
from app.kit.routing import StrictRoute
from app.kit.transactions import snapshot
from app.services import Services, ServicesDep

router = APIRouter(prefix="/v1/compare", tags=["jobs"], route_class=StrictRoute)


@router.get("", summary="Compare jobs", response_model=ComparisonView, responses=NOT_MODIFIED)
async def compare_jobs(
    response: Response,
    services: ServicesDep,
    conditional: ConditionalDep,
    query: Annotated[CompareQuery, Query()],
) -> Response:
    """Return jobs side by side: aligned in time, with the difference and what they differ in."""
    jobs = await run_in_threadpool(_find, services, query.job)
    unchanged = conditional.not_modified(comparison_tag(jobs), response)
    if unchanged is not None:
        return unchanged
    return await services.results.in_turn(lambda: _compared(services, query.job))


def _find(services: Services, job_ids: list[str]) -> list[Job]:
    with snapshot(services) as session:
        return CompareService(session, services.results).find(job_ids)


def _compared(services: Services, job_ids: list[str]) -> Response:
    with snapshot(services) as session:
        compared = CompareService(session, services.results).compared(job_ids)
    return json_answer(compared.view(), 200, {"ETag": comparison_tag(compared.jobs)})
