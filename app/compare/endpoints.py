"""`/v1/compare`: HTTP only."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.compare.schemas import ComparisonView
from app.compare.service import CompareService
from app.kit.etag import NOT_MODIFIED, ConditionalDep, etag_of
from app.kit.routing import StrictRoute
from app.kit.services import ReadSession

router = APIRouter(prefix="/v1/compare", tags=["jobs"], route_class=StrictRoute)


@router.get("", summary="Compare jobs", response_model=ComparisonView, responses=NOT_MODIFIED)
def compare_jobs(
    response: Response,
    session: ReadSession,
    conditional: ConditionalDep,
    job: Annotated[list[str], Query(description="Two to eight jobs; each is compared with the first.")],
) -> ComparisonView | Response:
    """Return jobs side by side: aligned in time, with the difference and what they differ in."""
    view = CompareService(session).compare(job)
    return conditional.not_modified(etag_of(view), response) or view
