"""A job's analyses: HTTP only."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app.analyses.answers import ANSWERS, table_rows
from app.analyses.asked import Asked
from app.analyses.schemas import AnalysesView, AnalysisView
from app.analyses.service import AnalysisService
from app.db.tables import Job
from app.engine.states import FINAL
from app.kit.etag import NOT_MODIFIED, ConditionalDep, etag_of
from app.kit.fields import IdPath, known_id
from app.kit.negotiation import negotiated
from app.kit.polling import retry_later
from app.kit.problems import NotAcceptable, NotFound, problem_responses
from app.kit.routing import StrictRoute
from app.kit.transactions import snapshot
from app.results import tabular
from app.results.formats import MEDIA_TYPE_OF, PICTURES, RESULTS_MEDIA_TYPES, FormatQuery, ResultsFormat
from app.results.reader import find_job
from app.services import Services, ServicesDep
from driftline import plots

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)

_TEXT = {"type": "string"}
_BINARY = {"type": "string", "format": "binary"}
_CONTENT: dict[str, Any] = {
    "content": {
        "text/csv": {"schema": _TEXT},
        "application/vnd.apache.parquet": {"schema": _BINARY},
        "image/svg+xml": {"schema": _TEXT},
        "image/png": {"schema": _BINARY},
    }
}
TypePath = Annotated[str, Path(max_length=32, description="Type of the analysis, such as `error_budget`.")]


@router.get(
    "/{job_id}/analyses",
    response_model=AnalysesView,
    responses={**problem_responses(NotFound), **NOT_MODIFIED},
)
async def list_job_analyses(
    job_id: IdPath, response: Response, services: ServicesDep, conditional: ConditionalDep
) -> AnalysesView | Response:
    """List what else was asked of the job, and how far it is."""

    def read() -> tuple[Job, AnalysesView]:
        with snapshot(services) as session:
            job = find_job(session, known_id("job", job_id))
            return job, AnalysisService(session).listing(job)

    job, view = await run_in_threadpool(read)
    retry_later(response, ended=job.state in FINAL)
    return conditional.not_modified(etag_of(view), response) or view


@router.get(
    "/{job_id}/analyses/{analysis_type}",
    response_model=AnalysisView,
    responses={200: _CONTENT, **problem_responses(NotFound, NotAcceptable), **NOT_MODIFIED},
)
async def get_job_analysis(
    job_id: IdPath,
    analysis_type: TypePath,
    request: Request,
    response: Response,
    services: ServicesDep,
    conditional: ConditionalDep,
    query: Annotated[FormatQuery, Query()],
) -> Response:
    """Return what an analysis has found by now: complete or not.

    CSV and Parquet have its rows; an estimate `x` there is `x_mean`, `x_ci95_low` and `x_ci95_high`.
    """
    file_format = negotiated(request, RESULTS_MEDIA_TYPES, what="analyses", asked=query.format)
    job, asked = await run_in_threadpool(_read, services, job_id, analysis_type)
    response.headers["Vary"] = "Accept"
    retry_later(response, ended=job.state in FINAL)
    tag = etag_of("|".join((job.id, str(job.version), "analyses", analysis_type, file_format)))
    unchanged = conditional.not_modified(tag, response)
    if unchanged is not None:
        return unchanged
    answer = ANSWERS[analysis_type]
    view = await services.results.in_turn(lambda: answer.view(asked))
    if file_format in PICTURES:
        content = await services.results.drawn(
            tag, lambda: plots.to_bytes(answer.draw(view.model_dump(mode="json"), asked.title), file_format)
        )
    else:
        content = await services.results.in_turn(lambda: _written(view, asked, file_format))
    response.headers["ETag"] = tag
    return Response(content, media_type=MEDIA_TYPE_OF[file_format], headers=dict(response.headers))


def _read(services: Services, job_id: str, analysis_type: str) -> tuple[Job, Asked]:
    with snapshot(services) as session:
        job = find_job(session, known_id("job", job_id))
        return job, AnalysisService(session).asked(job, analysis_type)


def _written(view: AnalysisView, asked: Asked, file_format: ResultsFormat) -> bytes:
    if file_format is ResultsFormat.JSON:
        return view.model_dump_json().encode()
    columns = ANSWERS[view.type].columns
    rows = table_rows(columns, view.model_dump(mode="json")["rows"])
    blocks = [tabular.block_of(columns, rows)]
    if file_format is ResultsFormat.CSV:
        return b"".join(tabular.csv_chunks(columns, blocks))
    about = {"job": asked.job_id, "analysis": view.type, "metric": view.metric.value}
    return b"".join(tabular.parquet_chunks(columns, blocks, about=about))
