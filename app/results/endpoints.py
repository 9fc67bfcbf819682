"""`/v1/jobs/{job_id}/results`: HTTP only."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from app.db.tables import Job
from app.engine.states import FINAL
from app.kit.etag import NOT_MODIFIED, ConditionalDep
from app.kit.fields import IdPath, known_id
from app.kit.negotiation import negotiated
from app.kit.polling import retry_later
from app.kit.problems import NotAcceptable, NotFound, problem_responses
from app.kit.routing import StrictRoute
from app.kit.transactions import snapshot
from app.results.formats import MEDIA_TYPE_OF, PICTURES, RESULTS_CONTENT, RESULTS_MEDIA_TYPES, ResultsQuery
from app.results.reader import Version, find_job
from app.results.schemas import ResultsView
from app.services import Services, ServicesDep

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)


@router.get(
    "/{job_id}/results",
    response_model=ResultsView,
    responses={200: RESULTS_CONTENT, **problem_responses(NotFound, NotAcceptable), **NOT_MODIFIED},
)
async def get_job_results(
    job_id: IdPath,
    request: Request,
    response: Response,
    services: ServicesDep,
    conditional: ConditionalDep,
    query: Annotated[ResultsQuery, Query()],
) -> Response:
    """Return the accuracy over time as far as it is known: complete or not."""
    results_format = negotiated(request, RESULTS_MEDIA_TYPES, what="results", asked=query.format)
    job = await run_in_threadpool(_read_job, services, job_id)
    response.headers["Vary"] = "Accept"
    retry_later(response, ended=job.state in FINAL)
    representation = (results_format, str(query.cells), str(query.test_set_ci))
    unchanged = conditional.not_modified(Version.of(job).tag(*representation), response)
    if unchanged is not None:
        return unchanged
    reader, media_type = services.results, MEDIA_TYPE_OF[results_format]
    if query.cells and results_format not in PICTURES:
        version, pieces = await reader.pieces(job_id, results_format, test_set_ci=query.test_set_ci)
        response.headers["ETag"] = version.tag(*representation)
        return StreamingResponse(pieces, media_type=media_type, headers=dict(response.headers))
    summary = await reader.summary(job_id)
    response.headers["ETag"] = summary.version.tag(*representation)
    content = (
        await reader.picture(summary, results_format)
        if results_format in PICTURES
        else await reader.points(summary, results_format, test_set_ci=query.test_set_ci)
    )
    return Response(content, media_type=media_type, headers=dict(response.headers))


def _read_job(services: Services, job_id: str) -> Job:
    with snapshot(services) as session:
        return find_job(session, known_id("job", job_id))
