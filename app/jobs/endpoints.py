"""`/v1/jobs`: HTTP only."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from sqlalchemy.orm import Session

from app.db.tables import Job
from app.jobs import views
from app.jobs.repository import JobFilter
from app.jobs.schemas import ArtifactsView, EventView, HistoryView, JobCreate, JobExtend, JobView, ResultsView
from app.jobs.service import JobService
from app.jobs.states import JobState
from app.kit.etag import NOT_MODIFIED, ConditionalDep
from app.kit.fields import IdPath, known_id
from app.kit.files import FILE_RESPONSE, file_response
from app.kit.idempotency import IDEMPOTENCY_PROBLEMS, REPLAYED_HEADER, OnceDep, json_answer
from app.kit.negotiation import preferred
from app.kit.pagination import PAGE_HEADERS, Page, PageDep, cut, link_next
from app.kit.problems import (
    Conflict,
    InvalidJson,
    NotAcceptable,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
    problem_responses,
)
from app.kit.routing import StrictRoute
from app.kit.services import ReadSession, Services, ServicesDep, WriteSession, after_commit

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)

_LISTING = "jobs"
_EVENTS = "events"
_POLL_AGAIN_S = "2"


class ResultsFormat(StrEnum):
    """How results are written."""

    JSON = "json"
    CSV = "csv"
    SVG = "svg"
    PNG = "png"


_MEDIA_TYPES: dict[str, ResultsFormat] = {
    "application/json": ResultsFormat.JSON,
    "text/csv": ResultsFormat.CSV,
    "image/svg+xml": ResultsFormat.SVG,
    "image/png": ResultsFormat.PNG,
}
_TYPE_OF = {name: media_type for media_type, name in _MEDIA_TYPES.items()}


def _results_format(
    accept: Annotated[str | None, Header()] = None,
    file_format: Annotated[
        ResultsFormat | None, Query(alias="format", description="Wins over `Accept`.")
    ] = None,
) -> ResultsFormat:
    chosen = file_format or preferred(accept, _MEDIA_TYPES)
    if chosen is None:
        raise NotAcceptable(f"results come as {', '.join(_MEDIA_TYPES)}")
    return chosen


def _job_filter(
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    tag: Annotated[str | None, Query(max_length=64, description="Only jobs with this tag.")] = None,
    model: Annotated[str | None, Query(max_length=36, description="Only jobs on this model.")] = None,
) -> JobFilter:
    return JobFilter(state=state, tag=tag, model_id=model)


@router.post(
    "",
    status_code=202,
    response_model=JobView,
    responses={
        202: {"headers": REPLAYED_HEADER},
        **problem_responses(*IDEMPOTENCY_PROBLEMS, InvalidJson, TooLarge, UnsupportedMediaType),
    },
)
def submit_job(
    request: Annotated[JobCreate, Body()],
    session: WriteSession,
    services: ServicesDep,
    once: OnceDep,
    cache_control: Annotated[str | None, Header(description="`no-cache`: compute everything anew.")] = None,
) -> Response:
    """Submit a job; it is stored before this answers, and computed by the workers.

    Cells that an earlier job with the same content has are taken over (`cached_from`).
    """
    fresh = "no-cache" in (cache_control or "").lower()

    def submit() -> Response:
        job = JobService(session).submit(request, services.settings, services.blobs, fresh=fresh)
        return _accepted(job, session, services)

    return once.do(submit)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    response_model=JobView,
    responses={202: {"headers": REPLAYED_HEADER}, **problem_responses(*IDEMPOTENCY_PROBLEMS, NotFound)},
)
def retry_job(job_id: IdPath, session: WriteSession, services: ServicesDep, once: OnceDep) -> Response:
    """Submit a failed or cancelled job again, as a new job; what it had computed is taken over."""

    def submit() -> Response:
        job = JobService(session).retry(known_id("job", job_id), services.settings, services.blobs)
        return _accepted(job, session, services)

    return once.do(submit)


@router.post(
    "/{job_id}/extend",
    status_code=202,
    response_model=JobView,
    responses={
        202: {"headers": REPLAYED_HEADER},
        **problem_responses(*IDEMPOTENCY_PROBLEMS, NotFound, InvalidJson, TooLarge, UnsupportedMediaType),
    },
)
def extend_job(
    job_id: IdPath,
    more: Annotated[JobExtend, Body()],
    session: WriteSession,
    services: ServicesDep,
    once: OnceDep,
) -> Response:
    """Submit a finished job with more repeats or times, as a new job; only the new cells are computed."""

    def submit() -> Response:
        job = JobService(session).extend(known_id("job", job_id), more, services.settings, services.blobs)
        return _accepted(job, session, services)

    return once.do(submit)


def _accepted(job: Job, session: Session, services: Services) -> Response:
    after_commit(session, services.doorbell.ring)
    headers = {
        "Location": f"/v1/jobs/{job.id}",
        "Retry-After": _POLL_AGAIN_S,
        "ETag": views.version_tag(job),
    }
    return json_answer(views.job_view(job), 202, headers)


@router.get("", responses=PAGE_HEADERS)
def list_jobs(
    request: Request,
    response: Response,
    session: ReadSession,
    job_filter: Annotated[JobFilter, Depends(_job_filter)],
    page: PageDep,
) -> Page[JobView]:
    """List jobs, newest first."""
    after = page.after(_LISTING, (str,))
    rows = JobService(session).jobs.listing(
        job_filter, before_id=None if after is None else str(after[0]), limit=page.limit + 1
    )
    rows, next_cursor = cut(rows, page, listing=_LISTING, key=lambda job: (job.id,))
    link_next(request, response, next_cursor)
    return Page(items=[views.job_view(job) for job in rows], next_cursor=next_cursor)


@router.get("/{job_id}", response_model=JobView, responses={**problem_responses(NotFound), **NOT_MODIFIED})
def get_job(
    job_id: IdPath, response: Response, session: ReadSession, conditional: ConditionalDep
) -> JobView | Response:
    """Return a job; its entity tag changes with every cell, epoch and state."""
    job = JobService(session).get(known_id("job", job_id))
    if not views.has_ended(job):
        response.headers["Retry-After"] = _POLL_AGAIN_S
    return conditional.not_modified(views.version_tag(job), response) or views.job_view(job)


@router.post("/{job_id}/cancel", status_code=202, responses=problem_responses(NotFound, Conflict))
def cancel_job(job_id: IdPath, session: WriteSession) -> JobView:
    """Cancel a job: at once when nothing of it runs, else as soon as its runners stop. Cells stay."""
    return views.job_view(JobService(session).cancel(known_id("job", job_id)))


@router.delete("/{job_id}", status_code=204, responses=problem_responses(NotFound, Conflict))
def delete_job(job_id: IdPath, session: WriteSession, services: ServicesDep) -> None:
    """Delete a job that has ended, with its results and files."""
    prefix = JobService(session).delete(known_id("job", job_id))
    after_commit(session, lambda: services.blobs.delete_folder(prefix))


@router.get(
    "/{job_id}/results",
    response_model=ResultsView,
    responses={
        200: {
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "image/svg+xml": {"schema": {"type": "string"}},
                "image/png": {"schema": {"type": "string", "format": "binary"}},
            }
        },
        **problem_responses(NotFound, NotAcceptable),
        **NOT_MODIFIED,
    },
)
def get_job_results(
    job_id: IdPath,
    response: Response,
    session: ReadSession,
    conditional: ConditionalDep,
    results_format: Annotated[ResultsFormat, Depends(_results_format)],
    cells: Annotated[bool, Query(description="With every cell; CSV then has the cells alone.")] = False,
    test_set_ci: Annotated[bool, Query(description="With Wilson's interval for the test set.")] = False,
) -> Response:
    """Return the accuracy over time as far as it is known: complete or not."""
    service = JobService(session)
    job = service.get(known_id("job", job_id))
    etag = views.version_tag(job, results_format, str(cells), str(test_set_ci))
    unchanged = conditional.not_modified(etag, response)
    if unchanged is not None:
        return unchanged
    headers = {"ETag": etag, "Vary": "Accept"}
    if results_format is ResultsFormat.JSON:
        answer = service.results(job, cells=cells, test_set_ci=test_set_ci)
        return JSONResponse(answer, headers=headers)
    content: str | bytes
    if results_format is ResultsFormat.CSV:
        content = service.results_csv(job, cells=cells)
    else:
        content = service.picture(job, "svg" if results_format is ResultsFormat.SVG else "png")
    return Response(content, media_type=_TYPE_OF[results_format], headers=headers)


@router.get(
    "/{job_id}/history",
    response_model=HistoryView,
    responses={**problem_responses(NotFound), **NOT_MODIFIED},
)
def get_job_history(
    job_id: IdPath, response: Response, session: ReadSession, conditional: ConditionalDep
) -> HistoryView | Response:
    """Return the fine-tuning epochs."""
    service = JobService(session)
    job = service.get(known_id("job", job_id))
    unchanged = conditional.not_modified(views.version_tag(job), response)
    return unchanged or views.history_view(job, service.jobs.epochs(job.id))


@router.get("/{job_id}/events", responses={**PAGE_HEADERS, **problem_responses(NotFound)})
def list_job_events(
    job_id: IdPath, request: Request, response: Response, session: ReadSession, page: PageDep
) -> Page[EventView]:
    """List what happened to the job, in order; an event's number is the job's version at the time."""
    service = JobService(session)
    job = service.get(known_id("job", job_id))
    after = page.after(_EVENTS, (int,))
    rows = service.jobs.events(job.id, after_seq=int(after[0]) if after else 0, limit=page.limit + 1)
    rows, next_cursor = cut(rows, page, listing=_EVENTS, key=lambda event: (event.seq,))
    link_next(request, response, next_cursor)
    return Page(items=[views.event_view(event) for event in rows], next_cursor=next_cursor)


@router.get(
    "/{job_id}/artifacts",
    response_model=ArtifactsView,
    responses={**problem_responses(NotFound), **NOT_MODIFIED},
)
def list_job_artifacts(
    job_id: IdPath, response: Response, session: ReadSession, conditional: ConditionalDep
) -> ArtifactsView | Response:
    """List the files that the job made."""
    service = JobService(session)
    job = service.get(known_id("job", job_id))
    unchanged = conditional.not_modified(views.version_tag(job), response)
    return unchanged or views.artifacts_view(job, service.jobs.artifacts(job.id))


@router.get(
    "/{job_id}/artifacts/{name}",
    response_class=FileResponse,
    responses={**FILE_RESPONSE, **problem_responses(NotFound), **NOT_MODIFIED},
)
def get_job_artifact(
    job_id: IdPath,
    name: Annotated[str, Path(max_length=128, description="As the list names it.")],
    response: Response,
    session: ReadSession,
    services: ServicesDep,
    conditional: ConditionalDep,
) -> Response:
    """Return a file that the job made; ranges are honoured."""
    found = JobService(session).artifact(known_id("job", job_id), name)
    return file_response(
        services.blobs.path(found.blob_key),
        sha256=found.sha256,
        filename=found.name,
        media_type=found.media_type,
        conditional=conditional,
        response=response,
    )
