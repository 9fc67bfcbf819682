"""`/v1/compare`: HTTP only."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app.compare.schemas import CompareQuery, ComparisonView
from app.compare.service import Compared, CompareService, comparison_tag
from app.db.tables import Job
from app.kit.etag import NOT_MODIFIED, ConditionalDep
from app.kit.idempotency import json_answer
from app.kit.negotiation import negotiated
from app.kit.problems import NotAcceptable, problem_responses
from app.kit.routing import StrictRoute
from app.kit.transactions import snapshot
from app.results.formats import DRAWN_CONTENT, DRAWN_MEDIA_TYPES, MEDIA_TYPE_OF, DrawnFormat, ResultsFormat
from app.services import Services, ServicesDep
from driftline import plots

router = APIRouter(prefix="/v1/compare", tags=["jobs"], route_class=StrictRoute)


@router.get(
    "",
    summary="Compare jobs",
    response_model=ComparisonView,
    responses={200: DRAWN_CONTENT, **problem_responses(NotAcceptable), **NOT_MODIFIED},
)
async def compare_jobs(
    request: Request,
    response: Response,
    services: ServicesDep,
    conditional: ConditionalDep,
    query: Annotated[CompareQuery, Query()],
) -> Response:
    """Return jobs side by side: aligned in time, with the difference and what they differ in."""
    form = negotiated(request, DRAWN_MEDIA_TYPES, what="comparisons", asked=query.format)
    jobs = await run_in_threadpool(_find, services, query.job)
    response.headers["Vary"] = "Accept"
    unchanged = conditional.not_modified(comparison_tag(jobs, form), response)
    if unchanged is not None:
        return unchanged
    compared = await services.results.in_turn(lambda: _compared(services, query.job))
    tag = comparison_tag(compared.jobs, form)
    headers = {"ETag": tag, "Vary": "Accept"}
    if form is DrawnFormat.JSON:
        return await services.results.in_turn(lambda: json_answer(compared.view(), 200, headers))
    picture = await services.results.drawn(
        tag, lambda: plots.to_bytes(plots.compare(compared.view().model_dump(mode="json")), form)
    )
    return Response(picture, media_type=MEDIA_TYPE_OF[ResultsFormat(form)], headers=headers)


def _find(services: Services, job_ids: list[str]) -> list[Job]:
    with snapshot(services) as session:
        return CompareService(session, services.results, services.blobs).find(job_ids)


def _compared(services: Services, job_ids: list[str]) -> Compared:
    with snapshot(services) as session:
        return CompareService(session, services.results, services.blobs).compared(job_ids)
